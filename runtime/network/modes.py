"""The network modes of an Engine: none, bridge (routed, containers' addresses visible outside), nat.

`bridge` and `nat` are a bridge network of the process each, created at first use. They change no setting of
the host: it forwards on their bridges, and elsewhere only if it does so anyway.
"""

from __future__ import annotations

import contextlib
import itertools
import secrets
import threading
from collections import deque
from ipaddress import IPv4Network

from runtime.network import container_netns
from runtime.network.bridge_networks import BridgeNetworks
from runtime.network.host import subnet_lock
from runtime.network.ipam import AddressAllocator, SubnetPool, choose_subnet
from runtime.network.kernel.host_routes import read_routes
from runtime.network.model import BRIDGED, BridgedMode, NetworkAttachment, NetworkSpec, Port
from runtime.spawn.owner import Owner

_RANGE = SubnetPool(IPv4Network("10.209.0.0/16"), 24)
"""Subnets of the modes: apart from those that docker's users see."""


class _ModeNetwork:
    """The network of one mode."""

    def __init__(self, spec: NetworkSpec) -> None:
        self.spec = spec
        self.addresses = AddressAllocator(spec.subnet, gateway=spec.gateway)
        self.ready: deque[NetworkAttachment] = deque()


class NetworkModes:
    """Networks of this process. All methods raise NetworkError; thread-safe, except close().

    bridge_networks: all networks of the process, for callers with networks of their own; one thread at a
    time. pool_size: how many namespaces refill() keeps ready for each network in use, for modes with address.
    """

    def __init__(self, owner: Owner | None = None, *, pool_size: int = 0) -> None:
        self.bridge_networks = BridgeNetworks(owner, pool_size=pool_size)
        self._size = pool_size
        self._networks: dict[str, _ModeNetwork] = {}
        self._numbers = itertools.count()
        self._lock = threading.RLock()

    def attach(self, network: str, ports: tuple[Port, ...] = (), address: str = "") -> NetworkAttachment:
        """Return a namespace for one container. network: a mode, or the id of a bridge network.

        address: the container's on that bridge network. The namespace is probably connected to it already;
        BridgeNetworks.attach() finishes that.
        """
        with self._lock:
            if network in BRIDGED:
                ready = self._network(network).ready
                self.bridge_networks.follow_tables()
                return ready.popleft() if ready and not ports else self._attach(network, ports)
            return NetworkAttachment(
                network=network, netns_fd=self.bridge_networks.pool.take(_network_id(network), address)
            )

    def _attach(self, mode: str, ports: tuple[Port, ...]) -> NetworkAttachment:
        made, holder = self._network(mode), f"mode-{next(self._numbers)}"
        with contextlib.ExitStack() as undo:
            address = made.addresses.take(holder)
            undo.callback(made.addresses.free, holder)
            fd = self.bridge_networks.pool.take(made.spec.id, address)
            undo.callback(self.bridge_networks.pool.give_back, fd)
            endpoint = container_netns.plain_endpoint(made.spec, address)
            bound = self.bridge_networks.attach(holder, fd, [endpoint], ports)
            undo.pop_all()
        return NetworkAttachment(network=mode, netns_fd=fd, holder=holder, address=address, ports=bound)

    def detach(self, attachment: NetworkAttachment) -> None:
        """Free an attachment; the kernel reaps its links once the container's processes have ended."""
        with self._lock, contextlib.ExitStack() as stack:
            stack.callback(self.bridge_networks.pool.give_back, attachment.netns_fd)
            for network in self._networks.values():
                stack.callback(network.addresses.free, attachment.holder)
            self.bridge_networks.release(attachment.holder)

    def refill(self, network: str, most: int | None = None) -> bool:
        """Prepare up to `most` namespaces; call it outside the start path. True when there are enough."""
        with self._lock:
            if network not in BRIDGED:
                return self.bridge_networks.pool.refill(_network_id(network), most)
            ready = self._network(network).ready
            for _ in range(self._size - len(ready))[:most]:
                ready.append(self._attach(network, ()))
            return len(ready) >= self._size

    def spec(self, mode: BridgedMode) -> NetworkSpec:
        """Return the network of `mode`, created if needed (for routes to it, and for taps of VMs)."""
        with self._lock:
            return self._network(mode).spec

    def reserve(self, mode: BridgedMode, holder: str) -> str:
        """Reserve an address of `mode`'s subnet for a VM, until release()."""
        with self._lock:
            return self._network(mode).addresses.take(holder)

    def release(self, mode: BridgedMode, holder: str) -> None:
        """Free a reserved address."""
        with self._lock:
            self._network(mode).addresses.free(holder)

    def _network(self, mode: str) -> _ModeNetwork:
        if mode not in self._networks:
            self._networks[mode] = _ModeNetwork(self._make(masquerade=mode == "nat"))
        return self._networks[mode]

    def _make(self, *, masquerade: bool) -> NetworkSpec:
        network_id = secrets.token_hex(32)
        with subnet_lock.held():
            subnet = choose_subnet(read_routes(), [_RANGE])
            spec = NetworkSpec(
                id=network_id,
                link=f"nn-{network_id[:12]}",
                subnet=str(subnet),
                gateway=str(subnet[1]),
                masquerade=masquerade,
                opens=False,
            )
            self.bridge_networks.up(spec)
        return spec

    def close(self) -> None:
        """Free attachments, pools and networks. Idempotent; running containers lose their network."""
        networks = list(self._networks.values())
        self._networks.clear()
        with contextlib.ExitStack() as stack:
            stack.callback(self.bridge_networks.close)
            for network in networks:
                while network.ready:
                    stack.callback(self.detach, network.ready.popleft())


def _network_id(network: str) -> str:
    """Return the id of a bridge network, "" for none."""
    return "" if network == "none" else network
