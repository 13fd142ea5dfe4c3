"""Daemons that speak Docker's API: a client for it, dockerd, nnd, and the backend of such a daemon."""
