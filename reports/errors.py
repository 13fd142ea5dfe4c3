"""The one error of this package."""

from __future__ import annotations


class ReportError(Exception):
    """A report could not be made: names the file, what is wrong with it, and what to do next."""
