"""The host lets answers for containers in: on the links it has now, and on those that come later."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from runtime.network.host import settings
from runtime.network.host.firewall import Firewall
from runtime.network.host.settings import HostSettings
from runtime.network.model import NetworkSpec
from runtime.spawn.owner import Owner


class HostForwarding:
    """What one owner's networks need of the host. All methods raise NetworkError."""

    def __init__(self, owner: Owner, rules: Firewall) -> None:
        self._settings = HostSettings(owner)
        self._rules = rules
        self._kept_shut = False

    def follow(self, specs: Collection[NetworkSpec]) -> None:
        """Switch forwarding on where `specs`, all that are up, need it, and off again where none does.

        What comes in there for others than containers is dropped, unless the host is a router anyway.
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
        if (6, "all") in opened:  # links that have come since have it from there
            opened |= {(6, link) for link in settings.uplinks6()}
        router = settings.is_router()
        if router and self._kept_shut:
            self._rules.let_through()
        self._kept_shut = not router
        self._rules.watch_over(
            one
            for one in opened
            if one[1] not in {*ours, "all", "default", "lo"} and not (router and one[0] == 4)
        )

    def follow_router(self) -> None:
        """Be in nobody's way who has made the host a router since; asked at each start, so at little cost."""
        if self._kept_shut and settings.is_router():
            self._kept_shut = False
            self._rules.let_through()

    def close(self) -> None:
        """Put the host's settings back. Idempotent."""
        self._settings.release()
