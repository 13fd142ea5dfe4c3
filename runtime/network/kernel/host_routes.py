"""The host's routes, addresses and links, which our subnets must not collide with."""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import Path

from runtime.network.kernel.rtnetlink import Rtnetlink

_PROC = Path("/proc/thread-self/net")


def read_routes() -> list[IPv4Network | IPv6Network]:
    """Return the destinations of the host's routes (main table), default routes included."""
    return [*parse_ipv4(_text("route")), *parse_ipv6(_text("ipv6_route"))]


def read_addresses() -> list[IPv4Address | IPv6Address]:
    """Return the addresses of all links of the host."""
    with Rtnetlink() as netlink:
        return netlink.addresses()


def has_link(name: str) -> bool:
    """Say whether the host has a link of this name."""
    try:
        return socket.if_nametoindex(name) > 0
    except OSError:
        return False


def parse_ipv4(text: str) -> list[IPv4Network]:
    """Read /proc/net/route: destination and mask are little-endian words in hex."""
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        destination, mask = (struct.pack("<I", int(fields[place], 16)) for place in (1, 7))
        prefix = int.from_bytes(mask, "big").bit_count()
        found.append(IPv4Network((destination, prefix), strict=False))
    return found


def parse_ipv6(text: str) -> list[IPv6Network]:
    """Read /proc/net/ipv6_route, without the link-local and multicast routes that every link has."""
    found = []
    for line in text.splitlines():
        fields = line.split()
        network = IPv6Network((bytes.fromhex(fields[0]), int(fields[1], 16)), strict=False)
        if not (network.is_link_local or network.is_multicast):
            found.append(network)
    return found


def _text(name: str) -> str:
    try:
        return (_PROC / name).read_text()
    except FileNotFoundError:  # a kernel without IPv6
        return ""
