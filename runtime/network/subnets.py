"""Which /24 a bridge may take: one that no route of the host overlaps. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv4Network

RANGE = IPv4Network("10.209.0.0/16")


def free_subnets(routes: Iterable[IPv4Network]) -> Iterator[IPv4Network]:
    """Yield the /24 of RANGE that overlap no route, lowest first; the default route overlaps nothing."""
    taken = [route for route in routes if route.prefixlen > 0 and route.overlaps(RANGE)]
    for subnet in RANGE.subnets(new_prefix=24):
        if not any(subnet.overlaps(route) for route in taken):
            yield subnet


def gateway(subnet: IPv4Network) -> IPv4Address:
    """Return the bridge's own address: the first host."""
    return subnet[1]


def hosts(subnet: IPv4Network) -> Iterator[IPv4Address]:
    """Yield the addresses for containers."""
    for number in range(2, subnet.num_addresses - 1):
        yield subnet[number]


def mac(address: IPv4Address) -> str:
    """Return the hardware address that goes with an IPv4 address.

    The same address keeps the same one: what a neighbour remembers of a container that was there before stays
    true, so a reused address answers at once.
    """
    return "02:4e:" + ":".join(f"{byte:02x}" for byte in address.packed)
