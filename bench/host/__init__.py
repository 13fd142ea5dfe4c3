"""The host a run is taken on: who it is, and what about it can spoil a measurement."""
