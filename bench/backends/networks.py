"""The bridges of this process, one for each network mode, on which containers and VMs meet.

The runtime's engine has a manager of its own and offers it; without an engine the first to ask makes one.
Either way a VM's tap joins the same bridge as the containers' veths, so a comparison has the same way to
the wire.
"""

from __future__ import annotations

from bench.backends.base import BackendError
from runtime.network import NetworkError, NetworkManager, sweep

_offered: list[NetworkManager] = []
_own: list[NetworkManager] = []


def offer(manager: NetworkManager) -> None:
    """Make `manager` the one to use, until it is withdrawn."""
    _offered.append(manager)


def withdraw(manager: NetworkManager) -> None:
    """Take an offered manager back; its owner closes it. Idempotent."""
    if manager in _offered:
        _offered.remove(manager)


def current() -> NetworkManager:
    """Return the manager in use, made now when there is none."""
    if _offered:
        return _offered[-1]
    if not _own:
        _own.append(NetworkManager())
    return _own[0]


def close() -> None:
    """Close the manager made here, if any, and free what dead processes left. Idempotent."""
    try:
        while _own:
            _own.pop().close()
        sweep()
    except NetworkError as error:
        raise BackendError(f"clean up networks: {error}") from error
