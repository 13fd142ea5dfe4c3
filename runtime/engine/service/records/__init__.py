"""The containers that a daemon knows: their records on disk, their table, names and waiters."""
