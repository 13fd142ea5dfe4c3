"""The published ports of one container: held as long as it has a network, led to where it is reached now."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from runtime.network.errors import NetworkError
from runtime.network.host.firewall import Firewall, Key, element_of
from runtime.network.kernel import conntrack
from runtime.network.model import Endpoint, Port
from runtime.network.ports import reservations
from runtime.network.ports.relay_process import RelayProcess


class Publication:
    """Ports of one container. Making it holds them, lead_to() opens them. All methods raise NetworkError."""

    def __init__(self, ports: Sequence[Port], rules: Firewall, relays: RelayProcess) -> None:
        self._rules, self._relays = rules, relays
        self._held = self._hold(ports)
        self.ports = tuple(one.port for one in self._held)
        self._elements: list[Key] = []
        self._served: list[int] = []
        self._target: tuple[str, str] = ("", "")

    @property
    def open_ports(self) -> tuple[Port, ...]:
        """The ports, as long as they lead somewhere."""
        return self.ports if any(self._target) else ()

    def lead_to(self, endpoint: Endpoint | None) -> None:
        """Lead all ports to an endpoint instead of where they led before; None lets go of them."""
        target = (endpoint.address, endpoint.address6) if endpoint else ("", "")
        if target == self._target:
            return
        self._close_ways()
        if endpoint is None:
            self._let_go()
            return
        if not self._held:
            self._held = self._hold(self.ports)
        four, six = target
        elements = {}
        for one in self._held:
            own, other = (four, six) if one.family == 4 else (six, four)
            inner = one.port.container
            if own:
                number = one.port.host
                key, way = element_of(one.port.protocol, one.family, one.host_ip, number, own, inner)
                elements[key] = way
            if (one.family == 6 or not own) and (own or other):
                self._served.append(self._relays.serve(one.socket, own or other, inner))
        self._rules.add_ports(elements)
        self._elements, self._target = list(elements), target
        conntrack.forget_udp(self._udp())

    def close(self) -> None:
        """Take the ports back. Idempotent."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._let_go)
            self._close_ways()

    def _hold(self, ports: Sequence[Port]) -> list[reservations.ReservedPort]:
        try:
            return reservations.hold(ports)
        except NetworkError:
            if not self._relays.settle():
                raise
            return reservations.hold(ports)  # the relay had not let go of it yet

    def _let_go(self) -> None:
        held, self._held = self._held, []
        reservations.release(held)

    def _close_ways(self) -> None:
        elements, self._elements, self._target = self._elements, [], ("", "")
        for key in self._served:
            self._relays.stop(key)
        self._served.clear()
        if elements:
            self._rules.drop_ports(elements)
            conntrack.forget_udp(self._udp())

    def _udp(self) -> list[tuple[str, int]]:
        return [(one.host_ip, one.port.host) for one in self._held if one.port.protocol == "udp"]
