"""Flags: their parser, their tables, and the values they take."""
