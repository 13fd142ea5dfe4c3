"""What a daemon is made of, behind its API: records, lifecycle, streams, events. One process, one loop."""
