"""The table of containers: records on disk, names, waiters."""
