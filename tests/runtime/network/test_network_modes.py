"""Real links, namespaces and rules; the remote peer stands behind the host, as on the bench's wire."""

from __future__ import annotations

import gc
import os
import socket
from pathlib import Path

import pytest
from free_ports import free_port
from own_host import own_host
from wires import Peer, listener_in, netns_of, socket_in, traces

from runtime.network import NetworkError, NetworkManager, Port, uplink_warning

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


def test_bridge_reaches_the_peer_under_its_own_address(manager: NetworkManager, peer: Peer) -> None:
    attachment = manager.attach("bridge")
    assert seen_by_peer(peer, netns_of(attachment)) == attachment.address


def test_nat_reaches_the_peer_under_the_hosts_address(manager: NetworkManager, peer: Peer) -> None:
    assert seen_by_peer(peer, netns_of(manager.attach("nat"))) == peer.host_address


def test_nat_beside_bridge_leaves_bridge_alone(manager: NetworkManager, peer: Peer) -> None:
    routed, masked = manager.attach("bridge"), manager.attach("nat")
    assert manager.bridge("bridge").subnet != manager.bridge("nat").subnet
    assert seen_by_peer(peer, netns_of(masked)) == peer.host_address
    assert seen_by_peer(peer, netns_of(routed)) == routed.address


@pytest.mark.parametrize("mode", ["bridge", "nat"])
def test_the_host_reaches_a_container_and_it_its_neighbour(manager: NetworkManager, mode: str) -> None:
    one, two = manager.attach(mode), manager.attach(mode)  # type: ignore[arg-type]
    with listener_in(netns_of(one), 80), socket_in(netns_of(two)) as neighbour:
        neighbour.connect((one.address, 80))
        socket.create_connection((str(one.address), 80), timeout=60).close()


@pytest.mark.parametrize("mode", ["bridge", "nat"])
def test_published_ports_lead_inside_from_everywhere(manager: NetworkManager, peer: Peer, mode: str) -> None:
    wide, local = free_port(), free_port()
    ports = (Port(host=wide, container=80), Port(host=local, container=80, host_ip="127.0.0.1"))
    attachment = manager.attach(mode, ports)  # type: ignore[arg-type]
    with listener_in(netns_of(attachment), 80):
        for address in ("127.0.0.1", peer.host_address, str(attachment.gateway)):
            socket.create_connection((address, wide), timeout=60).close()
        socket.create_connection(("127.0.0.1", local), timeout=60).close()
        with socket_in(peer.netns_fd) as remote:
            remote.connect((peer.host_address, wide))
        with socket_in(peer.netns_fd) as remote, pytest.raises(ConnectionRefusedError):
            remote.connect((peer.host_address, local))
    manager.detach(attachment)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", wide), timeout=60)


def test_udp_ports_are_apart_from_tcp(manager: NetworkManager) -> None:
    port = free_port(socket.SOCK_DGRAM)
    attachment = manager.attach("nat", (Port(host=port, container=53, protocol="udp"),))
    with socket_in(netns_of(attachment), socket.SOCK_DGRAM) as server:
        server.bind(("0.0.0.0", 53))
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
            client.settimeout(60)
            client.connect(("127.0.0.1", port))
            client.send(b"?")
            data, sender = server.recvfrom(9)
            server.sendto(b"!", sender)
            assert (data, client.recv(9)) == (b"?", b"!")


def test_a_container_cannot_reach_the_hosts_loopback(manager: NetworkManager) -> None:
    attachment = manager.attach("nat", (Port(host=free_port(), container=80),))
    with socket.create_server(("127.0.0.1", 0)) as host, socket_in(netns_of(attachment)) as inside:
        inside.settimeout(0.3)
        with pytest.raises(OSError):
            inside.connect((attachment.gateway, host.getsockname()[1]))


def test_a_taken_port_is_refused_and_nothing_stays(manager: NetworkManager) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        port, other = taken.getsockname()[1], free_port()
        with pytest.raises(NetworkError, match=f"publish port {port}/tcp: EADDRINUSE"):
            manager.attach("nat", (Port(host=other, container=1), Port(host=port, container=80)))
    manager.attach("nat", (Port(host=other, container=1),))


@pytest.mark.parametrize("port", [Port(host=0, container=1), Port(host=1, container=70000)])
def test_ports_out_of_range_are_refused(manager: NetworkManager, port: Port) -> None:
    with pytest.raises(NetworkError, match="1 to 65535"):
        manager.attach("nat", (port,))


def test_none_has_loopback_and_nothing_else(manager: NetworkManager, peer: Peer) -> None:
    attachment = manager.attach("none")
    with listener_in(netns_of(attachment), 80), socket_in(netns_of(attachment)) as client:
        client.connect(("127.0.0.1", 80))
    with socket_in(netns_of(attachment)) as client, pytest.raises(OSError, match="unreachable"):
        client.connect((peer.address, 80))


def test_host_is_the_hosts_and_publishes_nothing(manager: NetworkManager) -> None:
    assert manager.attach("host").netns_fd is None
    with pytest.raises(NetworkError, match="use bridge or nat"):
        manager.attach("host", (Port(host=1, container=1),))


def test_a_pooled_namespace_is_handed_out_as_it_is(manager: NetworkManager) -> None:
    manager.refill("bridge")
    before = traces()
    attachment = manager.attach("bridge")
    assert traces() == before
    with listener_in(netns_of(attachment), 80):
        socket.create_connection((str(attachment.address), 80), timeout=60).close()


def test_addresses_come_back_and_run_out_with_advice(manager: NetworkManager) -> None:
    taken = [manager.reserve("bridge") for _ in range(253)]
    assert len(set(taken)) == 253
    with pytest.raises(NetworkError, match="stop containers"):
        manager.attach("bridge")
    manager.release("bridge", taken[0])
    assert manager.attach("bridge").address == taken[0]


def test_close_leaves_what_was_there_before() -> None:
    gc.collect()
    before = traces()
    manager = NetworkManager(pool_size=3)
    manager.refill("bridge")
    manager.attach("bridge", (Port(host=free_port(), container=80),))
    kept = manager.attach("nat")
    inside = os.dup(netns_of(kept))  # a container that still runs
    assert traces() != before
    manager.close()
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
        manager = NetworkManager(pool_size=1)
        manager.attach("nat", (Port(host=free_port(), container=80),))
        manager.close()
        assert switches() == before


def test_the_uplinks_switch_is_read_and_not_changed() -> None:
    warning = uplink_warning()
    assert warning is None or "sysctl -w net.ipv4.conf." in warning
