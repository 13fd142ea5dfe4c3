"""Bridge networks of one process: bridges, veth pairs, addresses, firewall, published ports. No policy.

Callers choose subnets, addresses and names; this module creates and removes what they ask for. One thread at
a time. A veth pair ends with its container's namespace, which the kernel reaps in the background: deleting
one takes 16–68 ms.
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import secrets
import socket
from collections.abc import Sequence

import msgspec

from runtime.network import container_netns
from runtime.network.container_netns import VethPair
from runtime.network.errors import NetworkError
from runtime.network.host import bridges
from runtime.network.host.bridges import PAIR
from runtime.network.host.firewall import Firewall
from runtime.network.host.forwarding import HostForwarding
from runtime.network.ipam import next_address
from runtime.network.kernel import change_listener, rtnetlink
from runtime.network.kernel.change_listener import ChangeListener
from runtime.network.kernel.nft import reserve_descriptors
from runtime.network.kernel.rtnetlink import Rtnetlink
from runtime.network.model import Endpoint, NetworkSpec, Port
from runtime.network.netns_pool import NetnsPool
from runtime.network.ports.publication import Publication
from runtime.network.ports.relay_process import RelayProcess
from runtime.spawn.owner import Owner


class _Plugged:
    """A container's share: endpoints and host links by network, published ports, name server sockets."""

    def __init__(self) -> None:
        self.endpoints: dict[str, Endpoint] = {}
        self.links: dict[str, str] = {}
        self.publication: Publication | None = None
        self.resolver: tuple[socket.socket, ...] = ()


class BridgeNetworks:
    """All bridge networks of one process. All methods raise NetworkError; a failure leaves nothing behind.

    container: any text that names a container, the same in all calls. netns_fd: the container's network
    namespace; the caller keeps owning it, and may close it after the call. pool: namespaces for containers;
    refill() keeps `pool_size` of them ready for each network in use.
    """

    def __init__(self, owner: Owner | None = None, *, pool_size: int = 0) -> None:
        reserve_descriptors()
        self.owner = owner or Owner.current()
        self._netlink: Rtnetlink | None = None
        self._firewall = Firewall(self.owner)
        self._forwarding = HostForwarding(self.owner, self._firewall)
        self._relay = RelayProcess()
        self._specs: dict[str, NetworkSpec] = {}
        self._plugged: dict[str, _Plugged] = {}
        self._last: dict[str, str] = {}
        self.pool = NetnsPool(pool_size, self._make_spare)

    # ---- networks -------------------------------------------------------------------------------------

    def up(self, spec: NetworkSpec) -> None:
        """Create the bridge and its rules unless they exist; another spec of the same id replaces them."""
        if self._specs.get(spec.id) == spec:
            self._firewall.restore()
            return
        self.down(spec.id)
        bridges.make(self._ready(), spec, self.owner)
        self._specs[spec.id] = spec
        try:
            bridges.set_up(self._ready(), spec)
            self._firewall.add_network(spec)
            self._forwarding.follow(self._specs.values())
        except BaseException:
            del self._specs[spec.id]
            bridges.delete(self._ready(), spec)
            raise

    def down(self, network_id: str) -> None:
        """Remove a network's bridge and rules. Unknown ids are ignored."""
        spec = self._specs.pop(network_id, None)
        self._last.pop(network_id, None)
        if spec is None:
            return
        with contextlib.ExitStack() as stack:
            stack.callback(bridges.delete, self._ready(), spec)
            stack.callback(self.pool.drop, network_id)
            stack.callback(self._forwarding.follow, self._specs.values())
            self._firewall.drop_network(spec)

    @functools.cached_property
    def _lost_tables(self) -> ChangeListener:
        return change_listener.lost_tables()

    @functools.cached_property
    def _new_routes(self) -> ChangeListener:
        return change_listener.new_routes()

    @property
    def watched(self) -> tuple[int, ...]:
        """Descriptors that become readable when the host may have changed: then call follow_host()."""
        return self._lost_tables.fd, self._new_routes.fd

    def follow_host(self) -> None:
        """Restore our table if somebody flushed it, and enable forwarding on new uplinks."""
        self.follow_tables()
        if self._new_routes.has_changed():
            self._forwarding.follow(self._specs.values())

    def follow_tables(self) -> None:
        """Restore our table if somebody flushed it."""
        if self._lost_tables.has_changed():
            self._firewall.restore()

    # ---- containers -----------------------------------------------------------------------------------

    def attach(
        self, container: str, netns_fd: int, endpoints: Sequence[Endpoint], ports: Sequence[Port] = ()
    ) -> tuple[Port, ...]:
        """Connect a container that is about to start to its networks (all up), and publish its ports.

        Returns the ports as bound, one for each address of the host: 0.0.0.0 and :: where all were asked for.
        Without endpoints nothing is published.
        """
        if not endpoints:
            return ()
        self._forwarding.follow_router()
        plugged = self._plugged[container] = _Plugged()
        try:
            if ports:  # first, since a taken port is the likeliest failure
                plugged.publication = Publication(ports, self._firewall, self._relay)
            self._plug(plugged, netns_fd, endpoints[0], self.pool.claim(netns_fd))
            for endpoint in endpoints[1:]:
                self._plug(plugged, netns_fd, endpoint)
            self._lead(plugged)
        except BaseException:
            self.release(container)
            raise
        return plugged.publication.ports if plugged.publication else ()

    def connect(
        self, container: str, netns_fd: int, endpoint: Endpoint, ports: Sequence[Port] = ()
    ) -> Endpoint:
        """Connect a running container to one more network; return the endpoint as created.

        interface "": the first free name with the network's prefix. If it is connected already, only the
        default route is set (endpoint.default_route). ports: published if none were before.
        """
        plugged = self._plugged.setdefault(container, _Plugged())
        there = plugged.endpoints.get(endpoint.network)
        name = there.interface if there else endpoint.interface
        name = name or _free_interface(plugged, self._spec(endpoint).prefix)
        endpoint = msgspec.structs.replace(endpoint, interface=name)
        with contextlib.ExitStack() as undo:
            if ports and plugged.publication is None:
                plugged.publication = Publication(ports, self._firewall, self._relay)
                undo.callback(self._unpublish, plugged)
            if there:
                self._route_by(plugged, netns_fd, endpoint)
            else:
                self._plug(plugged, netns_fd, endpoint)
                undo.callback(self._unplug, plugged, endpoint)
            self._lead(plugged)
            undo.pop_all()
        return endpoint

    def disconnect(self, container: str, netns_fd: int, endpoint: Endpoint) -> Endpoint:
        """Disconnect a running container; its ports lead to another network. Not connected is fine."""
        plugged = self._plugged.get(container)
        if plugged is None or endpoint.network not in plugged.endpoints:
            return endpoint
        gone = plugged.endpoints.pop(endpoint.network)
        self._lead(plugged)
        self._unplug(plugged, gone)
        return gone

    def published(self, container: str) -> tuple[Port, ...]:
        """Return the ports at which a container is reached now."""
        plugged = self._plugged.get(container)
        return plugged.publication.open_ports if plugged and plugged.publication else ()

    def resolver(self, container: str) -> tuple[int, ...]:
        """Return the name server's sockets inside the container (UDP, listening TCP), () without one.

        They stay ours; release() closes them.
        """
        plugged = self._plugged.get(container)
        return tuple(sock.fileno() for sock in plugged.resolver) if plugged else ()

    def release(self, container: str) -> None:
        """Free an ended container's ports and sockets. Unknown ones are ignored."""
        plugged = self._plugged.pop(container, None)
        if plugged is None:
            return
        with contextlib.ExitStack() as stack:
            for sock in plugged.resolver:
                stack.callback(sock.close)
            if plugged.publication is not None:
                stack.callback(plugged.publication.close)
            # Its address may be reused while the kernel still reaps the namespace.
            self._ready().ask([rtnetlink.silence(link) for link in plugged.links.values()])

    def close(self) -> None:
        """Remove all networks and rules, and restore the host's settings. Idempotent."""
        with contextlib.ExitStack() as stack:
            if self._netlink is not None:
                stack.callback(self._forget_netlink)
            for name in ("_lost_tables", "_new_routes"):
                if (listener := self.__dict__.pop(name, None)) is not None:
                    stack.callback(listener.close)
            stack.callback(self._forwarding.close)
            stack.callback(self._firewall.close)
            stack.callback(self._relay.close)
            stack.callback(self._delete_all)
            stack.callback(self.pool.close)
            for container in list(self._plugged):
                stack.callback(self.release, container)

    def _delete_all(self) -> None:
        specs = list(self._specs.values())
        self._specs.clear()
        bridges.delete_all(self._ready(), specs, self.owner)

    # ---- parts ----------------------------------------------------------------------------------------

    def _plug(
        self, plugged: _Plugged, netns_fd: int, endpoint: Endpoint, spare: tuple[str, VethPair] | None = None
    ) -> None:
        spec = self._spec(endpoint)
        pair = self._use(spare, spec, endpoint) or self._make_pair(
            netns_fd, spec, endpoint.interface, names=not plugged.resolver
        )
        try:
            container_netns.configure(pair, netns_fd, endpoint, spec)
            if plugged.publication is not None:
                self._ready().ask([rtnetlink.set_hairpin(pair.link)])
        except BaseException:
            self._ready().ask([rtnetlink.delete_link(pair.link)])
            pair.close()
            raise
        pair.settle()
        if pair.configured is None or pair.configured.address != endpoint.address:
            self._last[spec.id] = endpoint.address
        plugged.resolver = plugged.resolver or pair.resolver
        plugged.links[endpoint.network] = pair.link
        plugged.endpoints[endpoint.network] = endpoint

    def _use(
        self, spare: tuple[str, VethPair] | None, spec: NetworkSpec, endpoint: Endpoint
    ) -> VethPair | None:
        """Return a pooled namespace's pair if it fits the endpoint; else delete it."""
        if spare is None:
            return None
        network, pair = spare
        if (network, f"{spec.prefix}0") == (spec.id, endpoint.interface):
            return pair
        self._ready().ask([rtnetlink.delete_link(pair.link)])
        pair.close()
        return None

    def _unplug(self, plugged: _Plugged, endpoint: Endpoint) -> None:
        plugged.endpoints.pop(endpoint.network, None)
        self._ready().ask([rtnetlink.delete_link(plugged.links.pop(endpoint.network))])

    def _route_by(self, plugged: _Plugged, netns_fd: int, endpoint: Endpoint) -> None:
        spec = self._spec(endpoint)
        plugged.endpoints[endpoint.network] = endpoint
        if endpoint.default_route:
            with container_netns.inside(netns_fd):
                container_netns.add_default_routes(endpoint, spec)

    def _unpublish(self, plugged: _Plugged) -> None:
        publication, plugged.publication = plugged.publication, None
        if publication is not None:
            publication.close()

    def _make_spare(self, netns_fd: int, network: str, netlink: Rtnetlink) -> VethPair | None:
        """Connect a namespace of the pool to a network; None when that is not up."""
        spec = self._specs.get(network)
        if spec is None:
            return None
        pair = self._make_pair(netns_fd, spec, f"{spec.prefix}0", names=True, netlink=netlink)
        address = "" if spec.subnet6 else self._next_address(spec)
        if not address:
            return pair
        try:
            with container_netns.inside(netns_fd):
                return container_netns.preconfigure(pair, container_netns.plain_endpoint(spec, address), spec)
        except BaseException:
            pair.close()
            raise

    def _next_address(self, spec: NetworkSpec) -> str:
        """Return the address that will probably be asked for next; "" when it cannot be guessed."""
        used = self.pool.addresses(spec.id)
        for plugged in self._plugged.values():
            if spec.id in plugged.endpoints:
                used.add(plugged.endpoints[spec.id].address)
        found = next_address(spec, self._last.get(spec.id, spec.gateway), used)
        if found:
            self._last[spec.id] = found
        return found

    def _make_pair(
        self, netns_fd: int, spec: NetworkSpec, name: str, *, names: bool, netlink: Rtnetlink | None = None
    ) -> VethPair:
        """Connect a namespace to a network by a veth pair without addresses."""
        link = PAIR + secrets.token_hex(5)
        bridge, group = socket.if_nametoindex(spec.link), bridges.group_of(spec)
        requests = rtnetlink.add_veth(link, bridge, group, spec.mtu, name, netns_fd)
        if not spec.icc:
            requests.append(rtnetlink.isolate(link))
        try:
            self._ready().ask(requests)
            with container_netns.inside(netns_fd):
                return container_netns.make_ready(link, name, spec, netlink, names=names and spec.names)
        except BaseException:
            self._ready().ask([rtnetlink.delete_link(link)])
            raise

    def _lead(self, plugged: _Plugged) -> None:
        """Lead the published ports to the endpoint with the default route; internal networks do not count."""
        if plugged.publication is not None:
            ways = [endpoint for endpoint in plugged.endpoints.values() if not self._spec(endpoint).internal]
            ways.sort(key=lambda one: not one.default_route)
            plugged.publication.lead_to(ways[0] if ways else None)

    def _spec(self, endpoint: Endpoint) -> NetworkSpec:
        if endpoint.network not in self._specs:
            raise NetworkError(
                f"attach to network {endpoint.network[:12]}: it is not up; this is a bug, report it"
            )
        return self._specs[endpoint.network]

    def _ready(self) -> Rtnetlink:
        if self._netlink is None:
            self._netlink = Rtnetlink()
        return self._netlink

    def _forget_netlink(self) -> None:
        if self._netlink is not None:
            self._netlink.close()
            self._netlink = None


def _free_interface(plugged: _Plugged, prefix: str) -> str:
    taken = {endpoint.interface for endpoint in plugged.endpoints.values()}
    return next(name for number in itertools.count() if (name := f"{prefix}{number}") not in taken)
