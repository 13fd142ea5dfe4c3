"""Work inside a container's network namespace: its addresses and routes, and the sockets it asks names at."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from runtime.network.errors import NetworkError, wrap
from runtime.network.ipam import hardware_address
from runtime.network.kernel import rtnetlink
from runtime.network.kernel.nft import Nft
from runtime.network.kernel.rtnetlink import Rtnetlink
from runtime.network.model import Endpoint, NetworkSpec

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


class VethPair(NamedTuple):
    """A container's end of a pair that is plugged in.

    link: the host's end. number: of this one. resolver: see open_resolver(), () if no names are asked for
    there. netlink: a socket inside, or guess: what it is configured for already, with its ears, see guess().
    """

    link: str
    number: int
    resolver: tuple[socket.socket, ...]
    netlink: Rtnetlink | None
    guess: Endpoint | None = None
    ears: int = -1

    def settle(self) -> None:
        """Close what is of no use once the pair is a container's."""
        if self.netlink is not None:
            self.netlink.close()
        if self.ears >= 0:
            os.close(self.ears)

    def close(self) -> None:
        """Close all there is."""
        self.settle()
        for one in self.resolver:
            one.close()


def make_ready(
    link: str, name: str, spec: NetworkSpec, netlink: Rtnetlink | None, *, names: bool
) -> VethPair:
    """Do with a fresh pair, in whose namespace the thread is, what needs no addresses.

    With IPv6 it stays down, since the address of its own that it takes then follows from the hardware's.
    """
    number = socket.if_nametoindex(name)
    resolver = open_resolver() if names else ()
    netlink = netlink or Rtnetlink()
    pair = VethPair(link, number, resolver, netlink)
    try:
        if spec.subnet6:
            switch_ipv6_on(name)
        else:
            netlink.ask([rtnetlink.set_up(name)])
    except BaseException:
        pair.close()
        raise
    return pair


def guess(pair: VethPair, endpoint: Endpoint, spec: NetworkSpec) -> VethPair:
    """Configure a pair, in whose namespace the thread is, for an endpoint that will probably come.

    Until it does it is deaf: it answers no question for its address, which may be another's. To let it hear
    takes no lock of the kernel's, which the reaping of ended namespaces holds for milliseconds.
    """
    switch = f"/proc/sys/net/ipv4/conf/{endpoint.interface}/arp_ignore"
    ears = os.open(switch, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(ears, b"8")
        assert pair.netlink is not None
        pair.netlink.ask(_requests(pair, endpoint, spec))
    except BaseException:
        os.close(ears)
        raise
    pair.netlink.close()
    return pair._replace(netlink=None, guess=endpoint, ears=ears)


def configure(pair: VethPair, netns_fd: int, endpoint: Endpoint, spec: NetworkSpec) -> None:
    """Give an endpoint's interface its addresses and routes, and bring it up."""
    if pair.netlink is not None:
        pair.netlink.ask(_requests(pair, endpoint, spec))
        return
    os.pwrite(pair.ears, b"0", 0)
    if endpoint != pair.guess and pair.guess is not None:
        wrong = rtnetlink.drop_address(pair.number, pair.guess.address, _prefix(spec.subnet))
        with inside(netns_fd), Rtnetlink() as netlink:
            netlink.ask([wrong, *_requests(pair, endpoint, spec)])


def guessed(spec: NetworkSpec, address: str) -> Endpoint:
    """Return the endpoint of an address with which nobody wants anything special."""
    mac = hardware_address(address, "")
    return Endpoint(network=spec.id, interface=f"{spec.prefix}0", address=address, mac=mac)


def _requests(pair: VethPair, endpoint: Endpoint, spec: NetworkSpec) -> list[rtnetlink.Request]:
    requests = [rtnetlink.set_mac(pair.number, endpoint.mac)]
    for address, subnet in ((endpoint.address, spec.subnet), (endpoint.address6, spec.subnet6)):
        if address:
            requests.append(rtnetlink.add_address(pair.number, address, _prefix(subnet)))
    requests += [
        rtnetlink.add_address(pair.number, address, 64 if ":" in address else 16)
        for address in endpoint.link_local
    ]
    if endpoint.default_route:
        requests += default_routes(pair.number, endpoint, spec)
    return requests


def _prefix(subnet: str) -> int:
    return int(subnet.rpartition("/")[2])


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
