from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import pytest
from pyroute2 import IPRoute

from runtime.network.kernel.netns import NetworkNamespace
from runtime.network.modes import NetworkModes
from tests.runtime.network.wires import Peer
from tests.runtime.own_host import World, own_host


@pytest.fixture
def world() -> Iterator[World]:
    with own_host() as world:
        yield world


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


@pytest.fixture
def modes() -> Iterator[NetworkModes]:
    made = NetworkModes(pool_size=2)
    yield made
    made.close()
    made.close()  # idempotent
