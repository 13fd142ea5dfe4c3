"""Resolve names for one container: its neighbours on each of its networks, and its links."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from runtime.engine.service.model.request import HostConfig
from runtime.engine.service.networks.live_network import Attached, LiveNetwork
from runtime.network import resolvconf


class ContainerNames:
    """A runtime.network.dns.Lookup. host: with the daemon's servers; nets: those the container is on now."""

    def __init__(self, container: str, host: HostConfig, nets: Callable[[], Iterable[LiveNetwork]]) -> None:
        self._id = container
        self._dns = tuple(host.dns or ())
        self._mode = host.network_mode
        self._links = tuple(host.links or ())
        self._nets = nets

    def addresses(self, name: str) -> Sequence[str] | None:
        """Return the addresses of a neighbour by name, alias or id, with the network behind it or not."""
        found: list[Attached] = []
        for net in self._own():
            found += net.find(name)
            suffix = f".{net.record.name.lower()}"
            if name.endswith(suffix):
                found += net.find(name.removesuffix(suffix))
            found += self._linked(net, name)
        if not found:
            return None
        return list(dict.fromkeys(address for place in found for address in place.addresses))

    def _linked(self, net: LiveNetwork, name: str) -> Sequence[Attached]:
        own = net.attached.get(self._id)
        if own is None:
            return ()
        # Links of the whole container are those of the network it was made for.
        first = bool(self._mode) and (self._mode == net.record.name or net.record.id.startswith(self._mode))
        for link in (*(self._links if first else ()), *(own.settings.links or ())):
            other, _, alias = link.partition(":")
            if name == (alias or other).lower():
                return net.find(other.lower())
        return ()

    def name_of(self, address: str) -> str | None:
        """Return the name of a neighbour by its address."""
        return next((name for net in self._own() if (name := net.name_of(address))), None)

    def servers(self) -> Sequence[str]:
        """Return the servers for all other questions: none where all networks are internal."""
        if all(net.record.internal for net in self._nets()):
            return ()
        return self._dns or resolvconf.read_host().servers

    def _own(self) -> list[LiveNetwork]:
        return [net for net in self._nets() if net.record.user_defined]
