"""Estimators and tests as pure functions on arrays: no I/O; formula and source in each docstring."""
