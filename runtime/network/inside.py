"""Work inside a container's network namespace: its addresses and routes, and the sockets it asks names at."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
from collections.abc import Iterator
from functools import cache
from ipaddress import ip_network
from pathlib import Path

from runtime.network import rtnetlink
from runtime.network.errors import NetworkError, wrap
from runtime.network.model import Endpoint, NetworkSpec
from runtime.network.nft import Nft
from runtime.network.rtnetlink import Rtnetlink

RESOLVER = "127.0.0.11"
"""Where a container asks for names, as programs and configurations made for docker expect it."""

_CLONE_NEWNET = 0x40000000
_BACKLOG = 64

# Port 53 stays the container's own, for a name server that it may run. Ports are rewritten without connection
# tracking, which would cost every packet of the container something.
_ASKED = """
table ip nn_names {{
  chain asked {{
    type filter hook output priority raw; policy accept;
    oif != "lo" accept
    ip daddr {resolver} udp dport 53 udp dport set {udp}
    ip daddr {resolver} tcp dport 53 tcp dport set {tcp}
    ip saddr {resolver} udp sport {udp} udp sport set 53
    ip saddr {resolver} tcp sport {tcp} tcp sport set 53
  }}
}}
"""


@contextlib.contextmanager
def inside(netns_fd: int) -> Iterator[None]:
    """Let the calling thread work in a network namespace, and come back."""
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(netns_fd)
        try:
            yield
        finally:
            _enter(home)
    finally:
        os.close(home)


def _enter(fd: int) -> None:
    if _libc().setns(fd, _CLONE_NEWNET) < 0:
        raise wrap("enter a network namespace", ctypes.get_errno())


@cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


def configure(endpoint: Endpoint, spec: NetworkSpec) -> None:
    """Give the interface of an endpoint, in whose namespace the thread is, its addresses; bring it up."""
    name = endpoint.interface
    if endpoint.address6:
        switch_ipv6_on(name)
    index = socket.if_nametoindex(name)
    requests = [rtnetlink.set_up(name)]
    for address, subnet in ((endpoint.address, spec.subnet), (endpoint.address6, spec.subnet6)):
        if address:
            requests.append(rtnetlink.add_address(index, address, ip_network(subnet).prefixlen))
    requests += [
        rtnetlink.add_address(index, address, 64 if ":" in address else 16) for address in endpoint.link_local
    ]
    if endpoint.default_route:
        requests += default_routes(index, endpoint, spec)
    with Rtnetlink() as netlink:
        netlink.ask(requests)


def route_by(endpoint: Endpoint, spec: NetworkSpec) -> None:
    """Let an interface that is up already be the way to everything else."""
    with Rtnetlink() as netlink:
        netlink.ask(default_routes(socket.if_nametoindex(endpoint.interface), endpoint, spec))


def default_routes(index: int, endpoint: Endpoint, spec: NetworkSpec) -> list[rtnetlink.Request]:
    """Return the routes by this endpoint's gateways; an internal network has none."""
    ways = ((endpoint.address, spec.gateway), (endpoint.address6, spec.gateway6))
    return [
        rtnetlink.set_default_route(index, gateway)
        for address, gateway in ways
        if address and gateway and not spec.internal
    ]


def switch_ipv6_on(name: str) -> None:
    """Switch IPv6 on for the loopback and one link; addresses come from us, not from advertisements."""
    conf = Path("/proc/sys/net/ipv6/conf")
    for key, value in (
        ("lo/disable_ipv6", "0"),
        (f"{name}/accept_ra", "0"),
        (f"{name}/disable_ipv6", "0"),
    ):
        try:
            (conf / key).write_text(value)
        except OSError as error:
            raise wrap(f"switch IPv6 on for {name}", error.errno) from error


def open_resolver() -> tuple[socket.socket, socket.socket]:
    """Open the sockets (UDP, listening TCP) where the namespace of the calling thread asks for names."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        for one in (udp, tcp):
            one.bind((RESOLVER, 0))
            one.setblocking(False)
        tcp.listen(_BACKLOG)
        nft = Nft()
        try:
            text = _ASKED.format(resolver=RESOLVER, udp=udp.getsockname()[1], tcp=tcp.getsockname()[1])
            nft.run(text)
        finally:
            nft.close()
    except OSError as error:
        udp.close()
        tcp.close()
        raise wrap(f"listen at {RESOLVER}", error.errno) from error
    except NetworkError:
        udp.close()
        tcp.close()
        raise
    return udp, tcp
