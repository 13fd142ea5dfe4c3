"""The host: its identity, what can spoil a measurement on it, its noise, and settings to tune."""
