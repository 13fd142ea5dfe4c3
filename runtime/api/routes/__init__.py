"""Routes, one module for each subject; the application takes all modules that are here."""

from __future__ import annotations

import importlib
import logging
import pkgutil
from types import ModuleType

log = logging.getLogger(__name__)


def route_modules() -> list[ModuleType]:
    """Import the modules of this package, by name. One that cannot be imported is logged and left out."""
    found = []
    for info in sorted(pkgutil.iter_modules(__path__), key=lambda info: info.name):
        try:
            found.append(importlib.import_module(f"{__name__}.{info.name}"))
        except Exception:  # a broken module must not keep all others from being served
            log.exception("routes of %s are missing", info.name)
    return found
