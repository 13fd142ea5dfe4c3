"""The daemon as a process: its flags and file, sockets, lock, TLS, and its life until a signal ends it."""
