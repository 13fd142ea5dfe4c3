"""Containers of a daemon, from creation to removal, and the programs that run in them."""
