"""Networks with names, as the engine makes them: bridges, pairs, addresses, rules, held ports. No policy.

Who calls says which subnet, address and name; here it is made, and taken away again. One thread at a time.
A pair ends with the container's network namespace, which the kernel reaps beside us: to delete one takes
16–68 ms.
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
from runtime.network.kernel.nft import set_descriptors_aside
from runtime.network.kernel.rtnetlink import Rtnetlink
from runtime.network.model import Endpoint, NetworkSpec, Port
from runtime.network.netns_pool import NetnsPool
from runtime.network.ports.publication import Publication
from runtime.network.ports.relay_process import RelayProcess
from runtime.spawn.owner import Owner


class _Plugged:
    """What a container has here: endpoints by network, their links on the host, ports, names' sockets."""

    def __init__(self) -> None:
        self.endpoints: dict[str, Endpoint] = {}
        self.links: dict[str, str] = {}
        self.publication: Publication | None = None
        self.resolver: tuple[socket.socket, ...] = ()


class BridgeNetworks:
    """All named networks of one process. All methods raise NetworkError; nothing stays of a failure.

    container: any text that names a container, the same in all calls. netns_fd: the container's network
    namespace; it stays the caller's, and may be closed after the call. spares: namespaces for containers,
    `spare` of them ready for each network in use, if refilled.
    """

    def __init__(self, owner: Owner | None = None, *, spare: int = 0) -> None:
        set_descriptors_aside()
        self.owner = owner or Owner.current()
        self._netlink: Rtnetlink | None = None
        self._rules = Firewall(self.owner)
        self._opening = HostForwarding(self.owner, self._rules)
        self._relays = RelayProcess()
        self._specs: dict[str, NetworkSpec] = {}
        self._plugged: dict[str, _Plugged] = {}
        self._last: dict[str, str] = {}
        self.spares = NetnsPool(spare, self._make_spare)

    # ---- networks -------------------------------------------------------------------------------------

    def up(self, spec: NetworkSpec) -> None:
        """Make the bridge and its rules unless they are there; another spec of the same id replaces them."""
        if self._specs.get(spec.id) == spec:
            self._rules.mend()
            return
        self.down(spec.id)
        bridges.make(self._ready(), spec, self.owner)
        self._specs[spec.id] = spec
        try:
            bridges.set_up(self._ready(), spec)
            self._rules.add_network(spec)
            self._opening.follow(self._specs.values())
        except BaseException:
            del self._specs[spec.id]
            bridges.delete(self._ready(), spec)
            raise

    def down(self, id: str) -> None:  # noqa: A002
        """Remove a network's bridge and rules. Unknown ids are fine."""
        spec = self._specs.pop(id, None)
        self._last.pop(id, None)
        if spec is None:
            return
        with contextlib.ExitStack() as stack:
            stack.callback(bridges.delete, self._ready(), spec)
            stack.callback(self.spares.drop, id)
            stack.callback(self._opening.follow, self._specs.values())
            self._rules.drop_network(spec)

    @functools.cached_property
    def _lost_tables(self) -> ChangeListener:
        return change_listener.lost_tables()

    @functools.cached_property
    def _new_routes(self) -> ChangeListener:
        return change_listener.new_routes()

    @property
    def watched(self) -> tuple[int, ...]:
        """Descriptors that can be read when the host may have changed: then call follow_host()."""
        return self._lost_tables.fd, self._new_routes.fd

    def follow_host(self) -> None:
        """Make again what somebody has flushed, and open links that have come since."""
        self.follow_tables()
        if self._new_routes.heard():
            self._opening.follow(self._specs.values())

    def follow_tables(self) -> None:
        """Make again what somebody has flushed."""
        if self._lost_tables.heard():
            self._rules.mend()

    # ---- containers -----------------------------------------------------------------------------------

    def attach(
        self, container: str, netns_fd: int, endpoints: Sequence[Endpoint], ports: Sequence[Port] = ()
    ) -> tuple[Port, ...]:
        """Plug a container that is about to start into its networks (all are up), and publish its ports.

        Returns the ports as bound, one for each address of the host: 0.0.0.0 and :: where all were asked for.
        Without endpoints nothing is published.
        """
        if not endpoints:
            return ()
        self._opening.follow_router()
        plugged = self._plugged[container] = _Plugged()
        try:
            if ports:  # first: a taken port is the likeliest failure
                plugged.publication = Publication(ports, self._rules, self._relays)
            self._plug(plugged, netns_fd, endpoints[0], self.spares.claim(netns_fd))
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
        """Plug a running container into one more network; return the endpoint as made.

        interface "": the first that is free with the network's prefix. On a network it is on already it only
        gets the default route (endpoint.default_route). ports: what to publish, if nothing was before.
        """
        plugged = self._plugged.setdefault(container, _Plugged())
        there = plugged.endpoints.get(endpoint.network)
        name = there.interface if there else endpoint.interface
        name = name or _free_interface(plugged, self._spec(endpoint).prefix)
        endpoint = msgspec.structs.replace(endpoint, interface=name)
        with contextlib.ExitStack() as undo:
            if ports and plugged.publication is None:
                plugged.publication = Publication(ports, self._rules, self._relays)
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
        """Take a running container off a network; its ports lead to another one. Not connected is fine."""
        plugged = self._plugged.get(container)
        if plugged is None or endpoint.network not in plugged.endpoints:
            return endpoint
        gone = plugged.endpoints.pop(endpoint.network)
        self._lead(plugged)
        self._unplug(plugged, gone)
        return gone

    def published(self, container: str) -> tuple[Port, ...]:
        """Return the ports by which a container is reached now."""
        plugged = self._plugged.get(container)
        return plugged.publication.open_ports if plugged and plugged.publication else ()

    def resolver(self, container: str) -> tuple[int, ...]:
        """Return the descriptors of the sockets at 127.0.0.11 inside (UDP, listening TCP), () without one.

        They stay ours; release() closes them.
        """
        plugged = self._plugged.get(container)
        return tuple(one.fileno() for one in plugged.resolver) if plugged else ()

    def release(self, container: str) -> None:
        """Free what an ended container still holds: ports, names' sockets. Unknown ones are fine."""
        plugged = self._plugged.pop(container, None)
        if plugged is None:
            return
        with contextlib.ExitStack() as stack:
            for one in plugged.resolver:
                stack.callback(one.close)
            if plugged.publication is not None:
                stack.callback(plugged.publication.close)
            # Its address may be given out again while the kernel still reaps the namespace.
            self._ready().ask([rtnetlink.silence(link) for link in plugged.links.values()])

    def close(self) -> None:
        """Remove all networks and rules, and put the host's settings back. Idempotent."""
        with contextlib.ExitStack() as stack:
            if self._netlink is not None:
                stack.callback(self._forget_netlink)
            for name in ("_lost_tables", "_new_routes"):
                if (listener := self.__dict__.pop(name, None)) is not None:
                    stack.callback(listener.close)
            stack.callback(self._opening.close)
            stack.callback(self._rules.close)
            stack.callback(self._relays.close)
            stack.callback(self._delete_all)
            stack.callback(self.spares.close)
            for container in list(self._plugged):
                stack.callback(self.release, container)

    def _delete_all(self) -> None:
        specs = list(self._specs.values())
        self._specs.clear()
        bridges.delete_all(self._ready(), specs, self.owner)

    # ---- the parts of it ------------------------------------------------------------------------------

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
                self._ready().ask([rtnetlink.reflect(pair.link)])
        except BaseException:
            self._ready().ask([rtnetlink.delete_link(pair.link)])
            pair.close()
            raise
        pair.settle()
        if pair.guess is None or pair.guess.address != endpoint.address:
            self._last[spec.id] = endpoint.address
        plugged.resolver = plugged.resolver or pair.resolver
        plugged.links[endpoint.network] = pair.link
        plugged.endpoints[endpoint.network] = endpoint

    def _use(
        self, spare: tuple[str, VethPair] | None, spec: NetworkSpec, endpoint: Endpoint
    ) -> VethPair | None:
        """Return the pair that a namespace has, if it is what the endpoint wants; another one goes."""
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
                container_netns.route_by(endpoint, spec)

    def _unpublish(self, plugged: _Plugged) -> None:
        publication, plugged.publication = plugged.publication, None
        if publication is not None:
            publication.close()

    def _make_spare(self, netns_fd: int, network: str, netlink: Rtnetlink) -> VethPair | None:
        """Plug a namespace that nobody has yet into a network, None when it is not up."""
        spec = self._specs.get(network)
        if spec is None:
            return None
        pair = self._make_pair(netns_fd, spec, f"{spec.prefix}0", names=True, netlink=netlink)
        address = "" if spec.subnet6 else self._guess(spec)
        if not address:
            return pair
        try:
            with container_netns.inside(netns_fd):
                return container_netns.guess(pair, container_netns.guessed(spec, address), spec)
        except BaseException:
            pair.close()
            raise

    def _guess(self, spec: NetworkSpec) -> str:
        """Return which address will be asked for next, if they go on as they did; "" for no idea."""
        used = self.spares.addresses(spec.id)
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
        """Plug a namespace into a network, by an interface that has no address yet."""
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
        """Lead the published ports to the endpoint that is the way out, or to none: no internal one is."""
        if plugged.publication is not None:
            ways = [one for one in plugged.endpoints.values() if not self._spec(one).internal]
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
