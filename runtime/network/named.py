"""Networks with names, as the spawner makes them: bridges, pairs, addresses, rules, held ports. No policy.

Who calls says which subnet, address and name; here it is made, and taken away again. One thread only. A pair
ends with the container's network namespace, which the kernel reaps beside us: to delete one takes 16–68 ms.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import secrets
import socket
import struct
import zlib
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

import msgspec

from runtime.network import inside, rtnetlink, rules
from runtime.network.errors import NetworkError, wrap
from runtime.network.hostroutes import has_link
from runtime.network.model import Endpoint, NetworkSpec, Port
from runtime.network.nft import set_descriptors_aside
from runtime.network.opening import Opening
from runtime.network.publishing import Publication
from runtime.network.relays import Relays
from runtime.network.rtnetlink import LinkRow, Rtnetlink
from runtime.network.rules import Rules
from runtime.network.settings import HostSettings
from runtime.network.watching import HostWatch
from runtime.spawn.owner import Owner

PAIR = "nne"
"""How the host's ends of pairs begin."""
_MAC = "02:4e:"
_CONF = Path("/proc/sys/net")
_AT_ONCE = 64


class _Plugged:
    """What a container has here: endpoints by network, their links on the host, ports, names' sockets."""

    def __init__(self) -> None:
        self.endpoints: dict[str, Endpoint] = {}
        self.links: dict[str, str] = {}
        self.publication: Publication | None = None
        self.resolver: tuple[socket.socket, ...] = ()


class NamedNetworks:
    """All named networks of one process. All methods raise NetworkError; nothing stays of a failure.

    container: any text that names a container, the same in all calls. netns_fd: the container's network
    namespace; it stays the caller's, and may be closed after the call.
    """

    def __init__(self, owner: Owner | None = None) -> None:
        set_descriptors_aside()
        self.owner = owner or Owner.current()
        self._netlink: Rtnetlink | None = None
        self._rules = Rules(self.owner)
        self._opening = Opening(self.owner, self._rules)
        self._watch = HostWatch()
        self._relays = Relays()
        self._specs: dict[str, NetworkSpec] = {}
        self._plugged: dict[str, _Plugged] = {}

    # ---- networks -------------------------------------------------------------------------------------

    def up(self, spec: NetworkSpec) -> None:
        """Make the bridge and its rules unless they are there; another spec of the same id replaces them."""
        if self._specs.get(spec.id) == spec:
            self._rules.mend()
            return
        self.down(spec.id)
        netlink = self._ready()
        self._make_bridge(netlink, spec)
        self._specs[spec.id] = spec
        try:
            _set_up_bridge(netlink, spec)
            self._rules.add_network(spec)
            self._opening.follow(self._specs.values())
        except BaseException:
            del self._specs[spec.id]
            netlink.ask([rtnetlink.delete_group(_group(spec))])
            raise

    def _make_bridge(self, netlink: Rtnetlink, spec: NetworkSpec) -> None:
        mac = _MAC + struct.pack(">I", self.owner.pid).hex(":")
        requests = rtnetlink.add_bridge(spec.link, mac, f"nn {self.owner}", spec.mtu, _group(spec))
        if has_link(spec.link):  # to list them all is slow where there are hundreds
            self._make_way(netlink, spec.link)
        netlink.ask(requests)

    def _make_way(self, netlink: Rtnetlink, name: str) -> None:
        """Remove a bridge that a dead process left; another link of that name is an error."""
        for row in netlink.links():
            if row.name == name:
                if _owner_is_alive(row) is not False:
                    raise wrap(f"make bridge {name}", errno.EEXIST, "a link of this name is there already")
                netlink.ask([rtnetlink.delete_link(name)])

    def down(self, id: str) -> None:  # noqa: A002
        """Remove a network's bridge and rules. Unknown ids are fine."""
        spec = self._specs.pop(id, None)
        if spec is None:
            return
        with contextlib.ExitStack() as stack:
            # With the ports of ended containers, whose namespaces the kernel may not have reaped yet.
            stack.callback(self._ready().ask, [rtnetlink.delete_group(_group(spec))])
            stack.callback(self._opening.follow, self._specs.values())
            self._rules.drop_network(spec)

    @property
    def watched(self) -> tuple[int, ...]:
        """Descriptors that can be read when the host may have changed: then call follow_host()."""
        return self._watch.fds

    def follow_host(self) -> None:
        """Open links that have come since, and make again what somebody has flushed."""
        if self._watch.has_lost_table():
            self._rules.mend()
        if self._watch.has_new_route() and self._specs:
            self._opening.follow(self._specs.values())

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
            for endpoint in endpoints:
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
            stack.callback(self._watch.close)
            stack.callback(self._opening.close)
            stack.callback(self._rules.close)
            stack.callback(self._relays.close)
            stack.callback(self._delete_all)
            for container in list(self._plugged):
                stack.callback(self.release, container)

    def _delete_all(self) -> None:
        """Remove all bridges at once, which takes the kernel less time than one by one."""
        specs, group = list(self._specs.values()), _number(str(self.owner))
        self._specs.clear()
        for part in range(0, len(specs), _AT_ONCE):  # the answers wait in a buffer
            moves = [rtnetlink.join_group(spec.link, group) for spec in specs[part : part + _AT_ONCE]]
            self._ready().ask(moves)
        if specs:
            self._ready().ask([rtnetlink.delete_group(group)])
        for spec in specs:
            # Ports of ended containers are left, whose namespaces the kernel has not reaped yet.
            self._ready().ask([rtnetlink.delete_group(_group(spec))])

    # ---- the parts of it ------------------------------------------------------------------------------

    def _plug(self, plugged: _Plugged, netns_fd: int, endpoint: Endpoint) -> None:
        spec = self._spec(endpoint)
        link = self._make_pair(netns_fd, endpoint, spec, published=plugged.publication is not None)
        try:
            with inside.inside(netns_fd):
                inside.configure(endpoint, spec)
                if endpoint.resolver and not plugged.resolver:
                    plugged.resolver = inside.open_resolver()
        except BaseException:
            self._ready().ask([rtnetlink.delete_link(link)])
            raise
        plugged.links[endpoint.network] = link
        plugged.endpoints[endpoint.network] = endpoint

    def _unplug(self, plugged: _Plugged, endpoint: Endpoint) -> None:
        plugged.endpoints.pop(endpoint.network, None)
        self._ready().ask([rtnetlink.delete_link(plugged.links.pop(endpoint.network))])

    def _route_by(self, plugged: _Plugged, netns_fd: int, endpoint: Endpoint) -> None:
        spec = self._spec(endpoint)
        plugged.endpoints[endpoint.network] = endpoint
        if endpoint.default_route:
            with inside.inside(netns_fd):
                inside.route_by(endpoint, spec)

    def _unpublish(self, plugged: _Plugged) -> None:
        publication, plugged.publication = plugged.publication, None
        if publication is not None:
            publication.close()

    def _make_pair(self, netns_fd: int, endpoint: Endpoint, spec: NetworkSpec, *, published: bool) -> str:
        netlink, bridge = self._ready(), socket.if_nametoindex(spec.link)
        name = PAIR + secrets.token_hex(5)
        requests = [
            rtnetlink.add_veth(
                name, bridge, _group(spec), spec.mtu, endpoint.interface, endpoint.mac, netns_fd
            )
        ]
        if not spec.icc:
            requests.append(rtnetlink.isolate(name))
        if published:
            requests.append(rtnetlink.reflect(name))
        try:
            netlink.ask(requests)
        except BaseException:
            netlink.ask([rtnetlink.delete_link(name)])
            raise
        return name

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


def _group(spec: NetworkSpec) -> int:
    return _number(spec.id)


def _number(text: str) -> int:
    """Return a group's number that nobody else is likely to have."""
    return zlib.crc32(text.encode()) & 0x7FFFFFFF | 0x40000000


def _free_interface(plugged: _Plugged, prefix: str) -> str:
    taken = {endpoint.interface for endpoint in plugged.endpoints.values()}
    return next(name for number in itertools.count() if (name := f"{prefix}{number}") not in taken)


def _set_up_bridge(netlink: Rtnetlink, spec: NetworkSpec) -> None:
    index = socket.if_nametoindex(spec.link)
    ipv6 = _CONF / "ipv6/conf" / spec.link
    if ipv6.exists():
        _write(ipv6 / "accept_ra", "0")
        _write(ipv6 / "disable_ipv6", "0" if spec.subnet6 else "1")
    requests = [rtnetlink.set_up(spec.link)]
    for subnet, gateway in ((spec.subnet, spec.gateway), (spec.subnet6, spec.gateway6)):
        if subnet and gateway:
            requests.append(rtnetlink.add_address(index, gateway, ip_network(subnet).prefixlen))
    netlink.ask(requests)
    ipv4 = _CONF / "ipv4/conf" / spec.link
    _write(ipv4 / "forwarding", "0" if spec.internal else "1")
    _write(ipv4 / "route_localnet", "1")  # a published port is reached by 127.0.0.1


def _write(path: Path, value: str) -> None:
    try:
        path.write_text(value)
    except OSError as error:
        raise wrap(f"write {value} to {path}", error.errno) from error


def _owner_is_alive(row: LinkRow) -> bool | None:
    """Say whether who made a bridge of this kind is alive, None when it is none of ours."""
    owner = Owner.parse(row.alias) if row.alias.startswith("nn ") else None
    return owner.is_alive() if owner is not None and row.kind == "bridge" else None


def sweep() -> list[str]:
    """Remove bridges and tables that dead processes left, put back settings; return what was freed."""
    freed = []
    with Rtnetlink() as netlink:
        rows = netlink.links()
        for bridge in (row for row in rows if _owner_is_alive(row) is False):
            ports = [row.name for row in rows if row.master == bridge.number and row.name.startswith(PAIR)]
            netlink.ask([rtnetlink.delete_link(name) for name in (*ports, bridge.name)])
            freed += [*ports, bridge.name]
    return [*freed, *rules.sweep(), *HostSettings(Owner.current()).sweep()]
