"""A daemon behind its API: records, lifecycle, streams, events. One process, one event loop."""
