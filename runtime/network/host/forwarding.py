"""Forwarding on the host, so that answers reach containers: on its present uplinks and on later ones."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from runtime.network.host import settings
from runtime.network.host.firewall import Firewall
from runtime.network.host.settings import HostSettings
from runtime.network.model import NetworkSpec
from runtime.spawn.owner import Owner


class HostForwarding:
    """Forwarding for one owner's networks. All methods raise NetworkError."""

    def __init__(self, owner: Owner, firewall: Firewall) -> None:
        self._settings = HostSettings(owner)
        self._firewall = firewall
        self._guarding = False

    def follow(self, specs: Collection[NetworkSpec]) -> None:
        """Enable forwarding on the uplinks while any of `specs` (all networks that are up) needs it.

        Packets that arrive there for anything but containers are dropped, unless the host is a router anyway.
        """
        needing = [spec for spec in specs if spec.opens and not spec.internal]
        if not needing:
            self._settings.release()
            return
        ours = {spec.link for spec in specs}
        ipv6 = any(spec.subnet6 for spec in needing)
        changed = self._settings.need(*settings.forwarding(settings.uplinks() - ours, ipv6=ipv6))
        opened = {
            (6 if "/ipv6/" in path else 4, Path(path).parent.name)
            for path in changed
            if path.endswith("/forwarding")
        }
        if (6, "all") in opened:  # links that came later inherit it
            opened |= {(6, link) for link in settings.uplinks6()}
        router = settings.is_router()
        if router and self._guarding:
            self._firewall.unguard_uplinks()
        self._guarding = not router
        self._firewall.guard_uplinks(
            uplink
            for uplink in opened
            if uplink[1] not in {*ours, "all", "default", "lo"} and not (router and uplink[0] == 4)
        )

    def follow_router(self) -> None:
        """Stop dropping once an administrator has made the host a router. Cheap: each start calls it."""
        if self._guarding and settings.is_router():
            self._guarding = False
            self._firewall.unguard_uplinks()

    def close(self) -> None:
        """Restore the host's settings. Idempotent."""
        self._settings.release()
