"""Address management: subnets for networks, addresses for containers. Pure: callers pass the routes."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import NamedTuple

from runtime.network.errors import NetworkError
from runtime.network.model import NetworkSpec

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class SubnetPool(NamedTuple):
    """A range that subnets are cut from: `whole`, in pieces with a prefix of `size` bits."""

    whole: Network
    size: int


_POOLS = (
    *(SubnetPool(IPv4Network(f"172.{second}.0.0/16"), 16) for second in range(17, 32)),
    SubnetPool(IPv4Network("192.168.0.0/16"), 20),
)
"""Docker's default address pools, in its order."""


class IpamError(NetworkError):
    """A subnet or address that is invalid whatever exists; in docker's words."""


class PoolOverlapError(NetworkError):
    """A subnet that overlaps another network's."""


def choose_subnet(taken: Iterable[Network], pools: Iterable[SubnetPool] = ()) -> IPv4Network:
    """Return the first piece of the pools that does not overlap `taken` (networks and routes).

    pools: of both families; docker's own when none is IPv4. The default route overlaps nothing.
    Raises NetworkError.
    """
    found = _first_free([pool for pool in pools if pool.whole.version == 4] or _POOLS, taken)
    if not isinstance(found, IPv4Network):
        raise NetworkError(
            "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to "
            "the network; remove networks that nobody uses (network prune), or give a subnet"
        )
    return found


def choose_subnet6(seed: str, taken: Iterable[Network], pools: Iterable[SubnetPool] = ()) -> IPv6Network:
    """Return the first free piece of the pools; when none is IPv6, a unique local /64 (RFC 4193).

    The latter takes 40 bits from the seed, and is the first free of its 65536 subnets.
    """
    digest = hashlib.sha256(seed.encode()).digest()[:5]
    own = SubnetPool(IPv6Network((b"\xfd" + digest + bytes(10), 48)), 64)
    found = _first_free([pool for pool in pools if pool.whole.version == 6] or [own], taken)
    if not isinstance(found, IPv6Network):
        raise NetworkError(
            "could not find an available, non-overlapping IPv6 address pool among the defaults to assign to "
            "the network; remove networks that nobody uses (network prune), or give a subnet"
        )
    return found


def _first_free(pools: Iterable[SubnetPool], taken: Iterable[Network]) -> Network | None:
    others = [network for network in taken if network.prefixlen]
    for pool in pools:
        near = [
            network
            for network in others
            if network.version == pool.whole.version and network.overlaps(pool.whole)
        ]
        subnet = _piece(pool, int(pool.whole.network_address))
        while subnet is not None:
            clash = next((network for network in near if network.overlaps(subnet)), None)
            if clash is None:
                return subnet
            # Continue after both, so that a large clash is skipped at once.
            last = max(clash.broadcast_address, subnet.broadcast_address, key=int)
            subnet = _piece(pool, int(last) + 1)
    return None


def _piece(pool: SubnetPool, start: int) -> Network | None:
    """Return the piece of a pool that begins at an address, None past its end."""
    if start > int(pool.whole.broadcast_address):
        return None
    address = type(pool.whole.network_address)(start)
    return ip_network((address, pool.size))


def parse_subnet(text: str) -> Network:
    """Parse a subnet in CIDR form; host bits must be 0, as docker requires. Raises IpamError."""
    try:
        subnet = ip_network(text, strict=False)
    except ValueError as error:
        raise IpamError(f"invalid subnet {text}: invalid CIDR block notation") from error
    if "/" not in text:
        raise IpamError(f"invalid subnet {text}: invalid CIDR block notation")
    if str(subnet.network_address) != str(ip_address(text.partition("/")[0])):
        raise IpamError(f"invalid subnet {text}: it should be {subnet}")
    return subnet


def parse_address(text: str, what: str) -> Address:
    """Parse an address. Raises IpamError."""
    try:
        return ip_address(text)
    except ValueError as error:
        raise IpamError(f"invalid {what} {text}: invalid address") from error


def check_overlap(subnet: Network, others: Iterable[Network]) -> None:
    """Refuse a subnet that overlaps other networks'. Raises PoolOverlapError in docker's words."""
    if any(subnet.version == network.version and subnet.overlaps(network) for network in others):
        raise PoolOverlapError("Pool overlaps with other one on this address space")


def check_foreign(subnet: Network, addresses: Iterable[Address]) -> None:
    """Refuse a subnet that contains an address of the host: it would cut the host off.

    addresses: those of the host's links. Whether a subnet may hide one that is only routed to, the caller
    decides.
    """
    if subnet.is_multicast:
        raise IpamError(f"invalid subnet {subnet}: multicast addresses are not host addresses")
    for address in addresses:
        if address in subnet:
            raise PoolOverlapError(f"subnet {subnet} overlaps with the host's own address {address}")


class AddressAllocator:
    """The addresses of one subnet and their holders. A freed address is not reused at once.

    ip_range: where addresses come from unless one is asked for. gateway "": the first address. auxiliary:
    name → reserved address. Raises IpamError for addresses outside the subnet.
    """

    def __init__(
        self,
        subnet: str,
        *,
        gateway: str = "",
        ip_range: str = "",
        auxiliary: Mapping[str, str] | None = None,
    ) -> None:
        self.subnet = parse_subnet(subnet)
        self.range = parse_subnet(ip_range) if ip_range else self.subnet
        if not _is_within(self.range, self.subnet):
            raise IpamError(f"invalid ip-range {ip_range}: parent subnet {subnet} doesn't contain ip-range")
        self.gateway = self._inside(gateway, "gateway") if gateway else self._first()
        self.auxiliary = {
            name: self._inside(text, "auxiliary address") for name, text in (auxiliary or {}).items()
        }
        self._taken: dict[Address, str] = {}
        self._last: Address | None = None

    def _inside(self, text: str, what: str) -> Address:
        address = parse_address(text, what)
        if address not in self.subnet:
            raise IpamError(
                f"invalid {what} {text}: parent subnet {self.subnet} doesn't contain this address"
            )
        return address

    def _first(self) -> Address:
        """Return the first usable address of the range, docker's gateway."""
        for address in _hosts(self.range, self.subnet):
            return address
        return self.subnet.network_address

    @property
    def prefix(self) -> int:
        """The length of the subnet's prefix."""
        return self.subnet.prefixlen

    def contains(self, text: str) -> bool:
        """Say whether the subnet contains an address. Raises IpamError when it is not an address."""
        return parse_address(text, "IP address") in self.subnet

    def take(self, owner: str, wanted: str = "", preferred: str = "") -> str:
        """Give `owner` an address: the one `wanted`, else `preferred` if it is free, else the next free one.

        Raises IpamError when `wanted` is outside the subnet, NetworkError when it, or all, are taken.
        """
        address = self._wanted(wanted, owner) if wanted else self._preferred(preferred, owner) or self._next()
        self._taken[address] = owner
        return str(address)

    def _wanted(self, text: str, owner: str) -> Address:
        address = parse_address(text, "IP address")
        if address not in self.subnet:
            raise IpamError(f"no configured subnet contains IP address {text}")
        if self._taken.get(address, owner) != owner or self._is_reserved(address):
            raise NetworkError("Address already in use")
        return address

    def _preferred(self, text: str, owner: str) -> Address | None:
        if not text:
            return None
        try:
            address = ip_address(text)
        except ValueError:
            return None
        free = self._taken.get(address, owner) == owner and not self._is_reserved(address)
        return address if free and address in self.range else None

    def _next(self) -> Address:
        for address in self._candidates():
            if address not in self._taken and not self._is_reserved(address):
                self._last = address
                return address
        raise NetworkError(
            f"no available IPv{self.subnet.version} addresses on this network's address pools: {self.subnet}"
        )

    def _candidates(self) -> Iterator[Address]:
        """Yield all of the range once, beginning after the address given last."""
        start = self._last
        if start is not None:
            yield from (address for address in _hosts(self.range, self.subnet, start))
        for address in _hosts(self.range, self.subnet):
            yield address
            if start is not None and address == start:
                return

    def _is_reserved(self, address: Address) -> bool:
        return address == self.gateway or address in self.auxiliary.values()

    def free(self, owner: str) -> None:
        """Take back the addresses of `owner`. Idempotent."""
        for address in [address for address, holder in self._taken.items() if holder == owner]:
            del self._taken[address]


def _hosts(part: Network, whole: Network, after: Address | None = None) -> Iterator[Address]:
    """Yield the addresses of `part` that hosts may have in `whole`, starting after `after`."""
    first, last = int(part.network_address), int(part.broadcast_address)
    edges = {int(whole.network_address)}
    if whole.version == 4:
        edges.add(int(whole.broadcast_address))
    if whole.num_addresses <= 2:
        edges = set()
    kind = type(whole.network_address)
    for number in range(first if after is None else int(after) + 1, last + 1):
        if number not in edges:
            yield kind(number)


def _is_within(part: Network, whole: Network) -> bool:
    return (
        part.version == whole.version and part.network_address in whole and part.prefixlen >= whole.prefixlen
    )


def next_address(spec: NetworkSpec, last: str, used: Collection[str]) -> str:
    """Return the address that an AddressAllocator of the subnet gives after `last`, "" at the end."""
    if not last:
        return ""
    subnet = IPv4Network(spec.subnet)
    for address in _hosts(subnet, subnet, IPv4Address(last)):
        if str(address) != spec.gateway and str(address) not in used:
            return str(address)
    return ""


def hardware_address(address: str, seed: str) -> str:
    """Return an endpoint's hardware address, derived from its IPv4 address or else from the seed.

    An IP address always has the same one, so neighbours' ARP caches stay valid.
    """
    ip = ip_address(address) if address else None
    tail = ip.packed if ip is not None and ip.version == 4 else hashlib.sha256(seed.encode()).digest()[:4]
    return "02:42:" + tail.hex(":")
