"""The host: its facts, its events, and whether its file systems answer."""
