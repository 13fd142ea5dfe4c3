from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from pyroute2 import IPRoute

from runtime.network import Attachment, NetworkManager
from runtime.network.netns import NetworkNamespace
from runtime.network.subnets import IPv4Address, IPv4Network

CLONE_NEWNET = 0x40000000


@pytest.fixture(autouse=True)
def _root_where_marked(request: pytest.FixtureRequest) -> None:
    if request.node.get_closest_marker("root") and os.geteuid() != 0:
        pytest.skip("needs root: it makes network namespaces and links")


def socket_in(netns_fd: int, kind: int = socket.SOCK_STREAM) -> socket.socket:
    """A socket that lives in a namespace; it may be used from any thread."""
    made: list[socket.socket] = []

    def enter() -> None:
        assert ctypes.CDLL(None, use_errno=True).setns(netns_fd, CLONE_NEWNET) == 0
        made.append(socket.socket(socket.AF_INET, kind))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    made[0].settimeout(5)
    return made[0]


def listener_in(netns_fd: int, port: int) -> socket.socket:
    made = socket_in(netns_fd)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("0.0.0.0", port))
    made.listen()
    return made


def netns_of(attachment: Attachment) -> int:
    assert attachment.netns_fd is not None
    return attachment.netns_fd


class Peer(msgspec.Struct, frozen=True):
    """A remote host: a namespace behind one link, that knows no way to our containers but the host."""

    netns_fd: int
    address: str
    host_address: str


@pytest.fixture
def peer() -> Iterator[Peer]:
    subnet, link = IPv4Network("10.212.77.0/24"), "nntestwire"
    namespace = NetworkNamespace()
    with IPRoute() as ip:
        ip.link("add", ifname=link, kind="veth", peer={"ifname": "eth0", "net_ns_fd": namespace.fd})
        index = ip.link_lookup(ifname=link)[0]
        ip.addr("add", index=index, address=str(subnet[1]), prefixlen=24)
        ip.link("set", index=index, state="up")
        Path(f"/proc/sys/net/ipv4/conf/{link}/forwarding").write_text("1")
        namespace.configure("eth0", subnet[2], subnet, IPv4Address(subnet[1]))
        yield Peer(namespace.fd, str(subnet[2]), str(subnet[1]))
        ip.link("del", index=index)
    namespace.close()


def traces() -> tuple[set[str], set[str], set[str]]:
    """Our links and tables, and this process's descriptors."""
    links = {path.name for path in Path("/sys/class/net").iterdir() if path.name.startswith(("nnb", "nnv"))}
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    mine = {line for line in tables.splitlines() if f"nn_{os.getpid()}_" in line}
    return links, mine, {path.name for path in Path("/proc/self/fd").iterdir()}


@pytest.fixture
def manager() -> Iterator[NetworkManager]:
    made = NetworkManager(pool_size=2)
    yield made
    made.close()
    made.close()  # idempotent
