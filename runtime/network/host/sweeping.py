"""Freeing what processes that were killed left of their networks; what the living have is spared."""

from __future__ import annotations

from runtime.network.host import bridges, firewall
from runtime.network.host.settings import HostSettings
from runtime.spawn.owner import Owner


def sweep() -> list[str]:
    """Remove bridges and tables of the dead, put settings back; return what it was. Raises NetworkError."""
    return [*bridges.sweep(), *firewall.sweep(), *HostSettings(Owner.current()).sweep()]
