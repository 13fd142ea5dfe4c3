"""The connection to a daemon, and a program's streams over it."""
