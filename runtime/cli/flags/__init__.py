"""Flags: how they are parsed, and the values that they take."""
