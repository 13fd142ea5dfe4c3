"""Work inside a container's network namespace: addresses, routes, and the sockets of its name server."""

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
"""The containers' name server address; programs made for docker expect this one."""

_CLONE_NEWNET = 0x40000000
_BACKLOG = 64

# Port 53 stays free for a name server of the container's own, so ours has other ports. Packets are rewritten
# without connection tracking, which would slow every packet of the container.
_DNS_TABLE = """
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
    """Move the calling thread into a network namespace, and back afterwards."""
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
    """A veth pair between a bridge and a container.

    link: name of the host's end. number: interface index of the container's end. resolver: the sockets of
    open_resolver(), () where the network has no name server. netlink: a socket inside the namespace; None
    once the pair is configured in advance, for `configured`; arp_switch is open then, see preconfigure().
    """

    link: str
    number: int
    resolver: tuple[socket.socket, ...]
    netlink: Rtnetlink | None
    configured: Endpoint | None = None
    arp_switch: int = -1

    def settle(self) -> None:
        """Close what is not needed once a container uses the pair."""
        if self.netlink is not None:
            self.netlink.close()
        if self.arp_switch >= 0:
            os.close(self.arp_switch)

    def close(self) -> None:
        """Close everything."""
        self.settle()
        for sock in self.resolver:
            sock.close()


def make_ready(
    link: str, name: str, spec: NetworkSpec, netlink: Rtnetlink | None, *, names: bool
) -> VethPair:
    """Prepare a new pair as far as possible without addresses. The thread is in the pair's namespace.

    With IPv6 the link stays down, since its link-local address follows from the hardware address.
    """
    number = socket.if_nametoindex(name)
    resolver = open_resolver() if names else ()
    netlink = netlink or Rtnetlink()
    pair = VethPair(link, number, resolver, netlink)
    try:
        if spec.subnet6:
            enable_ipv6(name)
        else:
            netlink.ask([rtnetlink.set_up(name)])
    except BaseException:
        pair.close()
        raise
    return pair


def preconfigure(pair: VethPair, endpoint: Endpoint, spec: NetworkSpec) -> VethPair:
    """Configure a pair, in whose namespace the thread is, for the endpoint that will probably be asked for.

    Until then arp_ignore keeps the interface from answering ARP for an address that another container may
    get. Switching it off takes no rtnl lock, which the kernel holds for milliseconds while it reaps ended
    namespaces.
    """
    switch = f"/proc/sys/net/ipv4/conf/{endpoint.interface}/arp_ignore"
    arp_switch = os.open(switch, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(arp_switch, b"8")
        assert pair.netlink is not None
        pair.netlink.ask(_requests(pair, endpoint, spec))
    except BaseException:
        os.close(arp_switch)
        raise
    pair.netlink.close()
    return pair._replace(netlink=None, configured=endpoint, arp_switch=arp_switch)


def configure(pair: VethPair, netns_fd: int, endpoint: Endpoint, spec: NetworkSpec) -> None:
    """Give an endpoint's interface its addresses and routes, and bring it up."""
    if pair.netlink is not None:
        pair.netlink.ask(_requests(pair, endpoint, spec))
        return
    os.pwrite(pair.arp_switch, b"0", 0)
    if endpoint != pair.configured and pair.configured is not None:
        wrong = rtnetlink.drop_address(pair.number, pair.configured.address, _prefix(spec.subnet))
        with inside(netns_fd), Rtnetlink() as netlink:
            netlink.ask([wrong, *_requests(pair, endpoint, spec)])


def plain_endpoint(spec: NetworkSpec, address: str) -> Endpoint:
    """Return the endpoint of an address with no special wishes."""
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


def add_default_routes(endpoint: Endpoint, spec: NetworkSpec) -> None:
    """Make an interface that is already up the default route."""
    with Rtnetlink() as netlink:
        netlink.ask(default_routes(socket.if_nametoindex(endpoint.interface), endpoint, spec))


def default_routes(index: int, endpoint: Endpoint, spec: NetworkSpec) -> list[rtnetlink.Request]:
    """Return the default routes via this endpoint's gateways; an internal network has none."""
    ways = ((endpoint.address, spec.gateway), (endpoint.address6, spec.gateway6))
    return [
        rtnetlink.set_default_route(index, gateway)
        for address, gateway in ways
        if address and gateway and not spec.internal
    ]


def enable_ipv6(name: str) -> None:
    """Enable IPv6 on the loopback and one link, without router advertisements: addresses come from us."""
    conf = Path("/proc/sys/net/ipv6/conf")
    for key, value in (
        ("lo/disable_ipv6", "0"),
        (f"{name}/accept_ra", "0"),
        (f"{name}/disable_ipv6", "0"),
    ):
        try:
            (conf / key).write_text(value)
        except OSError as error:
            raise wrap(f"enable IPv6 on {name}", error.errno) from error


def open_resolver() -> tuple[socket.socket, socket.socket]:
    """Open the name server's sockets (UDP, listening TCP) in the calling thread's namespace."""
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        for sock in (udp, tcp):
            sock.bind((RESOLVER, 0))
            sock.setblocking(False)
        tcp.listen(_BACKLOG)
        nft = Nft()
        try:
            text = _DNS_TABLE.format(resolver=RESOLVER, udp=udp.getsockname()[1], tcp=tcp.getsockname()[1])
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
