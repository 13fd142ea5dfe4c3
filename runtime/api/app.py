"""The application: all routes, with and without a version prefix, on one Service."""

from __future__ import annotations

import importlib
from types import ModuleType

MODULES = (
    "system",
    "containers",
    "exec",
    "events",
    "session",
    # Each room appends its modules below this line, once they are there.
)
"""The modules of `runtime.api.routes`. The first route that fits wins, so fixed paths come before `{id}`."""


def route_modules() -> list[ModuleType]:
    """Import the modules of routes."""
    return [importlib.import_module(f"runtime.api.routes.{name}") for name in MODULES]
