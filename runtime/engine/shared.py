"""What all engines of one process share: its cgroup directories and its networks, named after the process."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from runtime.spawn.cgroups import CgroupManager
from runtime.spawn.owner import Owner

if TYPE_CHECKING:
    from runtime.network.manager import NetworkManager

PREFIX = "nn"
POOL_SIZE = 4

_lock = threading.Lock()
_engines = 0
_cgroups: CgroupManager | None = None
_below: dict[str, CgroupManager] = {}
_networks: NetworkManager | None = None


def enter() -> CgroupManager:
    """Count one engine more and return the process's cgroups. Raises CgroupError."""
    global _engines, _cgroups
    with _lock:
        if _cgroups is None:
            _cgroups = CgroupManager(PREFIX, owner=Owner.current(), pool_size=POOL_SIZE)
        _engines += 1
        return _cgroups


def cgroups_below(parent: str) -> CgroupManager:
    """Return the process's cgroups below the path `parent`, made at first need. Raises CgroupError."""
    with _lock:
        if parent not in _below:
            _below[parent] = CgroupManager(PREFIX, owner=Owner.current(), parent=parent)
        return _below[parent]


def networks() -> NetworkManager:
    """Return the process's networks, made at first need: the import alone takes 0.1 s."""
    global _networks
    with _lock:
        if _networks is None:
            from runtime.network.manager import NetworkManager

            _networks = NetworkManager(Owner.current(), pool_size=POOL_SIZE)
        return _networks


def leave() -> None:
    """Count one engine less; the last one frees what was shared."""
    global _engines, _cgroups, _networks
    with _lock, contextlib.ExitStack() as stack:
        _engines -= 1
        if _engines:
            return
        closing: list[Callable[[], None]] = [part.close for part in (_cgroups, _networks) if part is not None]
        closing += [manager.close for manager in _below.values()]
        _below.clear()
        _cgroups = _networks = None
        for close in closing:
            stack.callback(close)
