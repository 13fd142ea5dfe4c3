"""Errors of the depot."""

from __future__ import annotations


class DepotError(Exception):
    """The registry could not be started or filled: names the operation and what it said."""
