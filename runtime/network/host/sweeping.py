"""Free what killed processes left of their networks; live processes keep theirs."""

from __future__ import annotations

from runtime.network.host import bridges, firewall
from runtime.network.host.settings import HostSettings
from runtime.spawn.owner import Owner


def sweep() -> list[str]:
    """Remove dead processes' bridges and tables, restore settings; return the names. Raises NetworkError."""
    return [*bridges.sweep(), *firewall.sweep(), *HostSettings(Owner.current()).sweep()]
