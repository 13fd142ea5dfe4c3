"""How a failure is told: our own errors in their words, anything else with its type, as the bug it is."""

from __future__ import annotations

from bench.backends.base import BackendError
from bench.scenarios.base import ScenarioError


def told(error: Exception) -> str:
    """One line."""
    if isinstance(error, BackendError | ScenarioError):
        return str(error)
    return f"{type(error).__name__}: {error}"
