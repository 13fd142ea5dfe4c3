"""What all errors have in common that a user can do something about."""

from __future__ import annotations


class ExpectedError(Exception):
    """Commands print the message without a traceback, so it says what to do next."""
