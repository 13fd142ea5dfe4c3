"""Data that all of the daemon shares: requests, records, filters."""
