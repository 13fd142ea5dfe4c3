"""Estimators and decisions as pure functions on arrays: no I/O, no clocks, formula and source in each docstring."""
