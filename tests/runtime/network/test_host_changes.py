"""What others do to the host's network while containers run: rules are flushed, links come."""

from __future__ import annotations

import os
import select
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from runtime.network.bridge_networks import BridgeNetworks
from runtime.network.container_netns import inside
from runtime.network.errors import NetworkError
from runtime.network.kernel.netns import NetworkNamespace
from runtime.network.model import Endpoint, NetworkSpec, Port
from tests.runtime.own_host import HOST4, OUTSIDE4, World, listen, meets, run

pytestmark = [pytest.mark.root, pytest.mark.network]

NET = NetworkSpec(id="a" * 64, link="nn-a", subnet="10.90.0.0/24", gateway="10.90.0.1")
OTHER = NetworkSpec(id="b" * 64, link="nn-b", subnet="10.91.0.0/24", gateway="10.91.0.1")
PORT = Port(host=0, container=80)
Plug = Callable[..., tuple[NetworkNamespace, int]]


@pytest.fixture
def networks(world: World) -> Iterator[BridgeNetworks]:
    made = BridgeNetworks()
    assert len(made.watched) == 2
    made.up(NET)
    yield made
    made.close()


@pytest.fixture
def plug(networks: BridgeNetworks) -> Iterator[Plug]:
    made: list[NetworkNamespace] = []

    def plug(number: int, *ports: Port) -> tuple[NetworkNamespace, int]:
        namespace = NetworkNamespace()
        made.append(namespace)
        mac = f"02:42:00:00:00:{number:02x}"
        endpoint = Endpoint(network=NET.id, interface="eth0", address=f"10.90.0.{number}", mac=mac)
        bound = networks.attach(str(number), namespace.fd, [endpoint], ports)
        return namespace, bound[0].host if bound else 0

    yield plug
    for namespace in made:
        namespace.close()


def flush() -> None:
    run("nft", "flush", "ruleset")
    assert run("nft", "list", "tables") == ""


def heard(networks: BridgeNetworks) -> None:
    """Do what the spawner's loop does."""
    assert select.select(networks.watched, [], [], 60)[0]
    networks.follow_host()


def is_reached(namespace: NetworkNamespace, port: int, world: World) -> None:
    with listen("0.0.0.0", 80, namespace.fd) as server:
        meets(server, HOST4, port, world.netns_fd)
    with listen(OUTSIDE4, 7000, world.netns_fd) as outside:
        assert meets(outside, OUTSIDE4, 7000, namespace.fd) == HOST4


def test_flushed_rules_come_back_by_themselves(networks: BridgeNetworks, plug: Plug, world: World) -> None:
    namespace, port = plug(2, PORT)
    is_reached(namespace, port, world)
    flush()
    heard(networks)
    is_reached(namespace, port, world)


@pytest.mark.parametrize(
    "need",
    [
        lambda networks, plug: plug(3, PORT),
        lambda networks, plug: networks.up(OTHER),
        lambda networks, plug: networks.up(NET),
    ],
    ids=["publish", "another network", "a daemon that comes back"],
)
def test_flushed_rules_come_back_at_the_next_need(need, networks: BridgeNetworks, plug: Plug, world: World):
    namespace, port = plug(2, PORT)
    flush()
    need(networks, plug)
    is_reached(namespace, port, world)


def test_what_was_taken_back_after_a_flush_stays_away(networks: BridgeNetworks, plug: Plug, world: World):
    (_, port), (second, other) = plug(2, PORT), plug(3, PORT)
    flush()
    networks.release("2")
    is_reached(second, other, world)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((HOST4, port), 60)


def test_the_end_after_a_flush_is_not_an_error(networks: BridgeNetworks) -> None:
    flush()
    networks.down(NET.id)
    networks.up(NET)
    flush()
    networks.close()


def test_a_deleted_table_of_others_changes_nothing(networks: BridgeNetworks) -> None:
    before = run("nft", "-a", "list", "ruleset")
    run("nft", "add", "table", "inet", "others")
    run("nft", "delete", "table", "inet", "others")
    heard(networks)
    assert run("nft", "-a", "list", "ruleset") == before


def test_what_nft_refuses_is_still_an_error(networks: BridgeNetworks) -> None:
    with pytest.raises(NetworkError, match="tcp4_any"):
        networks._firewall.add_ports({("tcp4_any", "nonsense"): "10.0.0.1 . 80"})


def forwarding(link: str, version: int = 4) -> str:
    return Path(f"/proc/sys/net/ipv{version}/conf/{link}/forwarding").read_text().strip()


def test_a_link_that_comes_later_is_opened_and_shut_again(
    networks: BridgeNetworks, plug: Plug, world: World
) -> None:
    namespace, _ = plug(2)
    networks.follow_host()
    run("ip", "link", "add", "wifi0", "type", "veth", "peer", "name", "far0", "netns", _name(world.netns_fd))
    assert forwarding("wifi0") == "0"
    run("ip", "link", "set", "wifi0", "up")
    run("ip", "addr", "add", "10.98.0.1/24", "dev", "wifi0")
    with inside(world.netns_fd):
        run("ip", "link", "set", "far0", "up")
        run("ip", "addr", "add", "10.98.0.2/24", "dev", "far0")
    heard(networks)
    assert forwarding("wifi0") == "1"
    with listen("10.98.0.2", 7000, world.netns_fd) as outside:
        assert meets(outside, "10.98.0.2", 7000, namespace.fd) == "10.98.0.1"
    assert '"wifi0"' in run("nft", "list", "set", "inet", networks._firewall.table, "opened4")
    networks.close()
    assert (forwarding("wifi0"), forwarding("up0")) == ("0", "0")


def test_the_host_is_not_a_router_for_ipv6_on_a_later_link(networks: BridgeNetworks, world: World) -> None:
    six = msgspec.structs.replace(OTHER, subnet6="fd91::/64", gateway6="fd91::1")
    networks.up(six)
    networks.follow_host()
    run("ip", "link", "add", "wifi0", "type", "veth", "peer", "name", "far0")
    Path("/proc/sys/net/ipv6/conf/wifi0/disable_ipv6").write_text("0")
    assert Path("/proc/sys/net/ipv6/conf/wifi0/accept_ra").read_text().strip() == "2"
    run("ip", "link", "set", "wifi0", "up")
    run("ip", "-6", "route", "add", "default", "dev", "wifi0", "metric", "9")
    heard(networks)
    assert forwarding("wifi0", 6) == "1"
    assert '"wifi0"' in run("nft", "list", "set", "inet", networks._firewall.table, "opened6")
    networks.close()
    assert forwarding("wifi0", 6) == "0"
    assert Path("/proc/sys/net/ipv6/conf/default/accept_ra").read_text().strip() == "1"


def test_networks_that_open_nothing_leave_the_host_alone(world: World) -> None:
    networks = BridgeNetworks()
    networks.up(msgspec.structs.replace(NET, opens=False))
    assert forwarding("up0") == "0"
    networks.close()


def _name(fd: int) -> str:
    return f"/proc/{os.getpid()}/fd/{fd}"
