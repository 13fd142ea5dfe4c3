"""A network while the daemon runs: its free addresses, and the containers on it."""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from ipaddress import IPv6Address, ip_address

import msgspec

from runtime.engine.errors import BadParameterError
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import EndpointSettings, IpamConfig
from runtime.engine.service.networks.create import engine_errors, pool_of
from runtime.engine.service.rules.network_record import NetworkContainer, NetworkRecord, NetworkView
from runtime.network.ipam import Network, hardware_address
from runtime.network.model import Endpoint
from runtime.network.resolvconf import is_address

_SHORT_ID = 12


class Attached(msgspec.Struct, frozen=True, kw_only=True):
    """A container on a network. settings: as its record keeps them, with what it has now."""

    container: str
    name: str
    settings: EndpointSettings
    endpoint: Endpoint

    @property
    def addresses(self) -> tuple[str, ...]:
        """Its addresses, of both families."""
        both = (self.endpoint.address, self.endpoint.address6)
        return tuple(address for address in both if address)


class LiveNetwork:
    """A network and the containers on it. Used in the loop only."""

    def __init__(self, record: NetworkRecord) -> None:
        self.attached: dict[str, Attached] = {}
        self._names: dict[str, list[Attached]] = {}
        self.renumber(record)

    # ---- addresses ------------------------------------------------------------------------------------

    def renumber(self, record: NetworkRecord) -> None:
        """Take a record with other subnets. No container is on the network."""
        with engine_errors():
            pools = [pool_of(pool) for pool in record.pools]
            idle = [pool_of(pool) for pool in record.idle]
        self.record = record
        self._four = next((pool for pool in pools if pool.subnet.version == 4), None)
        self._six = next((pool for pool in pools if pool.subnet.version == 6), None)
        self._idle = idle

    def overlaps(self, routes: Iterable[Network]) -> bool:
        """Say whether one of `routes`, except default ones, leads into a subnet of this network."""
        own = [pool.subnet for pool in (self._four, self._six) if pool is not None]
        return any(
            route.version == subnet.version and route.prefixlen and route.overlaps(subnet)
            for route in routes
            for subnet in own
        )

    def check(self, settings: EndpointSettings) -> None:
        """Refuse settings that this network cannot provide, in docker's words. Raises BadParameterError."""
        wanted = settings.ipam_config
        if wanted is not None:
            _check_forms(wanted)
        fixed = wanted is not None and (wanted.ipv4_address or wanted.ipv6_address)
        if fixed and not self.record.user_defined:
            raise BadParameterError("user specified IP address is supported on user defined networks only")
        if fixed and not self.record.configured:
            raise BadParameterError(
                "user specified IP address is supported only when connecting to networks with user "
                "configured subnets"
            )
        if settings.aliases and self.record.predefined:
            raise BadParameterError(
                "network-scoped alias is supported only for containers in user defined networks"
            )
        if wanted is not None:
            self._check_inside(wanted.ipv4_address, wanted.ipv6_address)

    def _check_inside(self, four: str, six: str) -> None:
        for text, pools in ((four, (self._four,)), (six, (self._six, *self._idle))):
            with engine_errors():
                if text and not any(pool and pool.contains(text) for pool in pools):
                    raise BadParameterError(
                        "invalid endpoint settings:\nno configured subnet or ip-range contain the IP address "
                        f"{text}"
                    )

    def take(
        self, record: ContainerRecord, settings: EndpointSettings, interface: str, *, default_route: bool
    ) -> Attached:
        """Add a container: take its addresses, and register its names. Raises EngineError."""
        wanted = settings.ipam_config
        four, six = (wanted.ipv4_address, wanted.ipv6_address) if wanted else ("", "")
        with engine_errors():
            try:
                address = self._four.take(record.id, four, settings.ip_address) if self._four else ""
                before = settings.global_ipv6_address
                address6 = self._six.take(record.id, six, before) if self._six else ""
            except BaseException:
                self.give_back(record.id)
                raise
        mac = _asked_mac(settings) or hardware_address(address, record.id + self.record.id)
        endpoint = Endpoint(
            network=self.record.id,
            interface=interface,
            address=address,
            address6=address6,
            mac=mac if is_bridge(self) else "",
            link_local=_link_local(settings),
            default_route=default_route,
        )
        return self.note(record, settings, endpoint)

    def note(self, record: ContainerRecord, settings: EndpointSettings, endpoint: Endpoint) -> Attached:
        """Store a container's place, and register its names."""
        spec = self.record.spec()
        full = msgspec.structs.replace(
            settings,
            network_id=self.record.id,
            endpoint_id=settings.endpoint_id or secrets.token_hex(32),
            mac_address=endpoint.mac,
            gateway="" if self.record.internal else spec.gateway,
            ip_address=endpoint.address,
            ip_prefix_len=self._four.prefix if self._four and endpoint.address else 0,
            ipv6_gateway="" if self.record.internal else spec.gateway6,
            global_ipv6_address=endpoint.address6,
            global_ipv6_prefix_len=self._six.prefix if self._six and endpoint.address6 else 0,
            dns_names=dns_names(record, settings) if self.record.user_defined else None,
        )
        attached = Attached(container=record.id, name=record.name, settings=full, endpoint=endpoint)
        self.attached[record.id] = attached
        self._index()
        return attached

    def adopt(self, record: ContainerRecord, settings: EndpointSettings, *, default_route: bool) -> Attached:
        """Restore the place of a container that an earlier daemon started. Raises EngineError."""
        with engine_errors():
            for pool, address in (
                (self._four, settings.ip_address),
                (self._six, settings.global_ipv6_address),
            ):
                if pool is not None and address:
                    pool.take(record.id, address)
        endpoint = Endpoint(
            network=self.record.id,
            interface="",
            address=settings.ip_address,
            address6=settings.global_ipv6_address,
            mac=settings.mac_address,
            link_local=_link_local(settings),
            default_route=default_route,
        )
        return self.note(record, settings, endpoint)

    def give_back(self, container: str) -> Attached | None:
        """Free a container's place and return it."""
        for pool in (self._four, self._six):
            if pool is not None:
                pool.free(container)
        gone = self.attached.pop(container, None)
        if gone is not None:
            self._index()
        return gone

    # ---- names ----------------------------------------------------------------------------------------

    def find(self, name: str) -> Sequence[Attached]:
        """Return the places on this network that have a name."""
        return self._names.get(name, ())

    def name_of(self, address: str) -> str | None:
        """Return the name of the container that has an address, with the network's name appended."""
        for place in self.attached.values():
            if address in place.addresses:
                return f"{place.name}.{self.record.name}"
        return None

    def _index(self) -> None:
        found: defaultdict[str, list[Attached]] = defaultdict(list)
        for place in self.attached.values():
            for name in {name.lower() for name in place.settings.dns_names or [place.name]}:
                found[name].append(place)
        self._names = dict(found)

    # ---- for clients ----------------------------------------------------------------------------------

    def view(self, *, containers: bool) -> NetworkView:
        """Return what clients are shown."""
        return self.record.view(
            {place.container: self._row(place) for place in self.attached.values()} if containers else {}
        )

    def _row(self, one: Attached) -> NetworkContainer:
        settings = one.settings
        six = settings.global_ipv6_address
        return NetworkContainer(
            name=one.name,
            endpoint_id=settings.endpoint_id,
            mac_address=settings.mac_address,
            ipv4_address=f"{settings.ip_address}/{settings.ip_prefix_len}" if settings.ip_address else "",
            ipv6_address=f"{six}/{settings.global_ipv6_prefix_len}" if six else "",
        )


def _check_forms(wanted: IpamConfig) -> None:
    """Refuse an invalid address of its family."""
    for version, text in ((4, wanted.ipv4_address), (6, wanted.ipv6_address)):
        if text and not _is_of_family(text, version):
            raise BadParameterError(f"invalid endpoint settings:\ninvalid IPv{version} address: {text}")
    for text in wanted.link_local_ips or ():
        if not (is_address(text) and ip_address(text).is_link_local):
            raise BadParameterError(f"invalid endpoint settings:\ninvalid link-local IP address: {text}")


def _is_of_family(text: str, version: int) -> bool:
    """Say whether a host can have this address; an IPv4-mapped one does not count as IPv6."""
    if not is_address(text) or "%" in text:
        return False
    address = ip_address(text)
    mapped = isinstance(address, IPv6Address) and address.ipv4_mapped is not None
    return address.version == version and not address.is_unspecified and not mapped


def is_bridge(net: LiveNetwork) -> bool:
    """Say whether a network has a bridge, and is not the host's network or none."""
    return net.record.driver == "bridge"


def interfaces(nets: Iterable[LiveNetwork]) -> list[str]:
    """Name a container's interfaces on its networks, numbered from 0 for each prefix."""
    count: Counter[str] = Counter()
    found = []
    for net in nets:
        prefix = net.record.interface_prefix
        found.append(f"{prefix}{count[prefix]}")
        count[prefix] += 1
    return found


def way_out(nets: Iterable[LiveNetwork]) -> LiveNetwork | None:
    """Return the network of a container's default route: as in docker, the first by name.

    An internal one is only taken when there is no other.
    """
    bridges = sorted(filter(is_bridge, nets), key=lambda net: (net.record.internal, net.record.name))
    return bridges[0] if bridges else None


def dns_names(record: ContainerRecord, settings: EndpointSettings) -> list[str]:
    """Return the names of a container on a network, each once: its own, aliases, short id, host name."""
    names = [record.name, *(settings.aliases or ()), record.id[:_SHORT_ID], record.config.hostname]
    return list(dict.fromkeys(name for name in names if name))


def at_rest(settings: EndpointSettings) -> EndpointSettings:
    """Return an endpoint's settings without what it has only while it runs."""
    return msgspec.structs.replace(
        settings,
        mac_address=_asked_mac(settings),
        endpoint_id="",
        gateway="",
        ip_address="",
        ip_prefix_len=0,
        ipv6_gateway="",
        global_ipv6_address="",
        global_ipv6_prefix_len=0,
    )


def shown(record: ContainerRecord) -> dict[str, EndpointSettings]:
    """Return a container's networks as clients see them; the record keeps its last addresses."""
    if record.state.running:
        return record.networks
    return {name: at_rest(settings) for name, settings in record.networks.items()}


def _link_local(settings: EndpointSettings) -> tuple[str, ...]:
    return tuple((settings.ipam_config.link_local_ips or ()) if settings.ipam_config else ())


def _asked_mac(settings: EndpointSettings) -> str:
    """Return the requested hardware address, not one derived from an earlier address."""
    mac = settings.mac_address
    return "" if settings.ip_address and mac == hardware_address(settings.ip_address, "") else mac
