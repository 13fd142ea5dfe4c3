"""Data types that all parts of the daemon use: requests, records, filters."""
