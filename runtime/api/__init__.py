"""`nnd`: Docker's Engine API over a unix socket or TCP, from typed routes."""
