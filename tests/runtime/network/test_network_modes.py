"""Real links, namespaces and rules; the remote peer stands behind the host, as on the bench's wire."""

from __future__ import annotations

import gc
import os
import socket
from pathlib import Path

import pytest

from runtime.network.errors import NetworkError
from runtime.network.model import Port
from runtime.network.modes import NetworkModes
from tests.runtime.free_ports import free_port
from tests.runtime.network.wires import Peer, listener_in, socket_in, traces
from tests.runtime.own_host import own_host

pytestmark = [pytest.mark.root, pytest.mark.network]


def seen_by_peer(peer: Peer, netns_fd: int) -> str:
    """Connect from a namespace to the peer; return the address the peer sees."""
    with listener_in(peer.netns_fd, 7001) as server, socket_in(netns_fd) as client:
        client.connect((peer.address, 7001))
        connection, (address, _) = server.accept()
        connection.sendall(b"x")
        connection.close()
        assert client.recv(1) == b"x"
    return str(address)


def test_bridge_reaches_the_peer_under_its_own_address(modes: NetworkModes, peer: Peer) -> None:
    attachment = modes.attach("bridge")
    assert seen_by_peer(peer, attachment.netns_fd) == attachment.address


def test_nat_reaches_the_peer_under_the_hosts_address(modes: NetworkModes, peer: Peer) -> None:
    assert seen_by_peer(peer, modes.attach("nat").netns_fd) == peer.host_address


def test_nat_beside_bridge_leaves_bridge_alone(modes: NetworkModes, peer: Peer) -> None:
    routed, masked = modes.attach("bridge"), modes.attach("nat")
    assert modes.spec("bridge").subnet != modes.spec("nat").subnet
    assert seen_by_peer(peer, masked.netns_fd) == peer.host_address
    assert seen_by_peer(peer, routed.netns_fd) == routed.address


@pytest.mark.parametrize("mode", ["bridge", "nat"])
def test_the_host_reaches_a_container_and_it_its_neighbour(modes: NetworkModes, mode: str) -> None:
    one, two = modes.attach(mode), modes.attach(mode)
    with listener_in(one.netns_fd, 80), socket_in(two.netns_fd) as neighbour:
        neighbour.connect((one.address, 80))
        socket.create_connection((str(one.address), 80), timeout=60).close()


@pytest.mark.parametrize("mode", ["bridge", "nat"])
def test_published_ports_lead_inside_from_everywhere(modes: NetworkModes, peer: Peer, mode: str) -> None:
    wide, local = free_port(), free_port()
    ports = (Port(host=wide, container=80), Port(host=local, container=80, host_ip="127.0.0.1"))
    attachment = modes.attach(mode, ports)
    with listener_in(attachment.netns_fd, 80):
        for address in ("127.0.0.1", peer.host_address, modes.spec(mode).gateway):
            socket.create_connection((address, wide), timeout=60).close()
        socket.create_connection(("127.0.0.1", local), timeout=60).close()
        with socket_in(peer.netns_fd) as remote:
            remote.connect((peer.host_address, wide))
        with socket_in(peer.netns_fd) as remote, pytest.raises(ConnectionRefusedError):
            remote.connect((peer.host_address, local))
    modes.detach(attachment)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", wide), timeout=60)


def test_udp_ports_are_apart_from_tcp(modes: NetworkModes) -> None:
    port = free_port(socket.SOCK_DGRAM)
    attachment = modes.attach("nat", (Port(host=port, container=53, protocol="udp"),))
    with socket_in(attachment.netns_fd, socket.SOCK_DGRAM) as server:
        server.bind(("0.0.0.0", 53))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(60)
            client.connect(("127.0.0.1", port))
            client.send(b"?")
            data, sender = server.recvfrom(9)
            server.sendto(b"!", sender)
            assert (data, client.recv(9)) == (b"?", b"!")


def test_a_container_cannot_reach_the_hosts_loopback(modes: NetworkModes) -> None:
    attachment = modes.attach("nat", (Port(host=free_port(), container=80),))
    with socket.create_server(("127.0.0.1", 0)) as host, socket_in(attachment.netns_fd) as inside:
        inside.settimeout(0.3)
        with pytest.raises(OSError):
            inside.connect((modes.spec("nat").gateway, host.getsockname()[1]))


def test_a_taken_port_is_refused_and_nothing_stays(modes: NetworkModes) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port, other = taken.getsockname()[1], free_port()
        with pytest.raises(NetworkError, match=f"Bind for 0.0.0.0:{port} failed: port is already allocated"):
            modes.attach("nat", (Port(host=other, container=1), Port(host=port, container=80)))
    modes.attach("nat", (Port(host=other, container=1),))


@pytest.mark.parametrize("port", [Port(host=70000, container=1), Port(host=1, container=70000)])
def test_ports_out_of_range_are_refused(modes: NetworkModes, port: Port) -> None:
    with pytest.raises(NetworkError, match=f" {port.host}:{port.container}: "):
        modes.attach("nat", (port,))


def test_none_has_loopback_and_nothing_else(modes: NetworkModes, peer: Peer) -> None:
    attachment = modes.attach("none")
    with listener_in(attachment.netns_fd, 80), socket_in(attachment.netns_fd) as client:
        client.connect(("127.0.0.1", 80))
    with socket_in(attachment.netns_fd) as client, pytest.raises(OSError, match="unreachable"):
        client.connect((peer.address, 80))


def test_addresses_come_back_and_run_out_with_advice(modes: NetworkModes) -> None:
    taken = [modes.reserve("bridge", str(number)) for number in range(253)]
    assert len(set(taken)) == 253
    with pytest.raises(NetworkError, match="no available IPv4 addresses"):
        modes.attach("bridge")
    modes.release("bridge", "7")
    assert modes.attach("bridge").address == taken[7]


def test_close_leaves_what_was_there_before() -> None:
    gc.collect()
    before = traces()
    modes = NetworkModes(pool_size=3)
    modes.refill("bridge")
    modes.attach("bridge", (Port(host=free_port(), container=80),))
    kept = modes.attach("nat")
    inside = os.dup(kept.netns_fd)  # a container that still runs
    assert traces() != before
    modes.close()
    os.close(inside)
    gc.collect()
    left = traces()
    assert left[0] == before[0]
    assert left[1] == before[1]


def test_the_hosts_switches_stay_as_they_are() -> None:
    """On a host of its own, as they are everybody's: others may have networks for which they change."""

    def switches() -> list[str]:
        paths = [Path("/proc/sys/net/ipv4/ip_forward"), *Path("/proc/sys/net/ipv4/conf").glob("*/forwarding")]
        return sorted(f"{path} {path.read_text()}" for path in paths if "/nn" not in str(path))

    with own_host():
        before = switches()
        modes = NetworkModes(pool_size=1)
        modes.attach("nat", (Port(host=free_port(), container=80),))
        modes.close()
        assert switches() == before
