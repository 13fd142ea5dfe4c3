"""Estimators and tests as pure functions on arrays: no I/O; formula and source in each docstring.

Quantiles and tails come from scipy.special (stdtrit and stdtr are Student's t). scipy.stats calls the same
functions, but every command would wait half a second for its import.
"""
