"""The published ports of one container: reserved while it has a network, and led to its current address."""

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
    """One container's ports. Creating it reserves them, lead_to() opens them. Methods raise NetworkError."""

    def __init__(self, ports: Sequence[Port], firewall: Firewall, relay: RelayProcess) -> None:
        self._firewall, self._relay = firewall, relay
        self._held = self._hold(ports)
        self.ports = tuple(reserved.port for reserved in self._held)
        self._elements: list[Key] = []
        self._served: list[int] = []
        self._target: tuple[str, str] = ("", "")

    @property
    def open_ports(self) -> tuple[Port, ...]:
        """The ports, while they lead somewhere."""
        return self.ports if any(self._target) else ()

    def lead_to(self, endpoint: Endpoint | None) -> None:
        """Lead all ports to another endpoint; None releases them."""
        target = (endpoint.address, endpoint.address6) if endpoint else ("", "")
        if target == self._target:
            return
        self._close_paths()
        if endpoint is None:
            self._release()
            return
        if not self._held:
            self._held = self._hold(self.ports)
        four, six = target
        elements = {}
        for reserved in self._held:
            own, other = (four, six) if reserved.family == 4 else (six, four)
            inner = reserved.port.container
            if own:
                number = reserved.port.host
                key, value = element_of(
                    reserved.port.protocol, reserved.family, reserved.host_ip, number, own, inner
                )
                elements[key] = value
            if (reserved.family == 6 or not own) and (own or other):
                self._served.append(self._relay.serve(reserved.socket, own or other, inner))
        self._firewall.add_ports(elements)
        self._elements, self._target = list(elements), target
        conntrack.forget_udp(self._udp())

    def close(self) -> None:
        """Close and release the ports. Idempotent."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._release)
            self._close_paths()

    def _hold(self, ports: Sequence[Port]) -> list[reservations.ReservedPort]:
        try:
            return reservations.reserve(ports)
        except NetworkError:
            if not self._relay.settle():
                raise
            return reservations.reserve(ports)  # the relay had not closed it yet

    def _release(self) -> None:
        held, self._held = self._held, []
        reservations.release(held)

    def _close_paths(self) -> None:
        elements, self._elements, self._target = self._elements, [], ("", "")
        for key in self._served:
            self._relay.stop(key)
        self._served.clear()
        if elements:
            self._firewall.drop_ports(elements)
            conntrack.forget_udp(self._udp())

    def _udp(self) -> list[tuple[str, int]]:
        return [
            (reserved.host_ip, reserved.port.host)
            for reserved in self._held
            if reserved.port.protocol == "udp"
        ]
