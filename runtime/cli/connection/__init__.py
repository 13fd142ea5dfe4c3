"""The connection to the daemon, and programs' streams over it."""
