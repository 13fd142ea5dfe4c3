"""The host: its facts, its file systems, and the event bus."""
