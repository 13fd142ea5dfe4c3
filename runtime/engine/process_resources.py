"""Resources that all engines of one process share: its cgroup directories and its networks.

They carry the process in their names, and each is made at first need.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime.spawn.cgroups import CgroupManager, find_delegated, find_layout
from runtime.spawn.owner import Owner

if TYPE_CHECKING:
    from runtime.network.modes import NetworkModes

PREFIX = "nn"
POOL_SIZE = 4
MOST_CGROUPS = 16
"""Kept ready, also for containers that were created and never started."""

_lock = threading.Lock()
_engines = 0
_cgroups: dict[str, CgroupManager] = {}
_networks: NetworkModes | None = None


def enter() -> None:
    """Count a new engine."""
    global _engines
    with _lock:
        _engines += 1


def cgroups(parent: str = "") -> CgroupManager:
    """Return the process's cgroups below the path `parent`. Raises CgroupError.

    "": below its unit's cgroup where systemd has delegated that, else at the top.
    """
    with _lock:
        if parent not in _cgroups:
            _cgroups[parent] = _manager(parent)
        return _cgroups[parent]


def _manager(parent: str) -> CgroupManager:
    layout = find_layout()
    unit = "" if parent else find_delegated(layout)
    return CgroupManager(
        PREFIX,
        owner=Owner.current(),
        layout=layout,
        pool_size=MOST_CGROUPS,
        parent=parent or unit,
        delegated=bool(unit),
    )


def networks() -> NetworkModes:
    """Return the process's networks, made at first need: the import alone takes 0.1 s."""
    global _networks
    with _lock:
        if _networks is None:
            from runtime.network.modes import NetworkModes

            _networks = NetworkModes(Owner.current(), pool_size=POOL_SIZE)
        return _networks


def leave() -> None:
    """Count an engine's end; the last one frees what was shared."""
    global _engines, _networks
    with _lock, contextlib.ExitStack() as stack:
        _engines -= 1
        if _engines:
            return
        closing: list[Callable[[], None]] = [manager.close for manager in _cgroups.values()]
        if _networks is not None:
            closing.append(_networks.close)
        _cgroups.clear()
        _networks = None
        for close in closing:
            stack.callback(close)
