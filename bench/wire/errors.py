"""The one error of the wire."""

from __future__ import annotations

from bench.backends.base import BackendError


class WireError(BackendError):
    """The wire could not be opened, shaped or used: names the operation, the cause, and what to do next."""
