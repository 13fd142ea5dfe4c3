"""Namespaces that wait for their containers: whoever comes finds what was asked for, and nothing stays."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from runtime.network.bridge_networks import BridgeNetworks
from runtime.network.container_netns import RESOLVER, inside, plain_endpoint
from runtime.network.ipam import AddressAllocator, next_address
from runtime.network.kernel.nft import reserve_descriptors
from runtime.network.model import Endpoint, NetworkSpec, Port
from runtime.network.modes import NetworkModes
from tests.runtime.own_host import OUTSIDE4, World, connect, listen, meets, run
from tests.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network]

NET = NetworkSpec(id="a" * 64, link="nn-a", subnet="10.90.0.0/24", gateway="10.90.0.1")
SIX = msgspec.structs.replace(
    NET, id="b" * 64, link="nn-b", subnet="10.91.0.0/24", gateway="10.91.0.1", subnet6="fd91::/64",
    gateway6="fd91::1", names=True,
)  # fmt: skip
CLOSED = msgspec.structs.replace(
    NET, id="c" * 64, link="nn-c", subnet="10.92.0.0/28", gateway="10.92.0.1", internal=True, icc=False
)


def links() -> set[str]:
    return {line.split(": ")[1].partition("@")[0] for line in run("ip", "-o", "link").splitlines()}


def descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.fixture
def networks(world: World) -> Iterator[BridgeNetworks]:
    reserve_descriptors()
    before = descriptors()
    made = BridgeNetworks(pool_size=3)
    for spec in (NET, SIX, CLOSED):
        made.up(spec)
    yield made
    made.close()
    eventually(links, {"lo", "up0"})
    assert descriptors() <= before  # fewer where threads of an earlier test closed theirs late


def plug(networks: BridgeNetworks, name: str, *endpoints: Endpoint, ports: tuple[Port, ...] = ()) -> int:
    fd = networks.pool.take(endpoints[0].network, endpoints[0].address)
    networks.attach(name, fd, endpoints, ports)
    return fd


def unplug(networks: BridgeNetworks, name: str, fd: int) -> None:
    networks.release(name)
    networks.pool.give_back(fd)


def inner(fd: int) -> str:
    with inside(fd):
        return run("ip", "-o", "addr", "show", "scope", "global") + run("ip", "route", "show", "default")


def test_a_right_guess_is_used_as_it_is(networks: BridgeNetworks, world: World) -> None:
    networks.pool.refill(NET.id)
    assert networks.pool.addresses(NET.id) == {"10.90.0.2", "10.90.0.3", "10.90.0.4"}
    before = links()
    one = plug(networks, "one", plain_endpoint(NET, "10.90.0.3"))
    assert links() == before
    two = plug(networks, "two", plain_endpoint(NET, "10.90.0.2"))
    with listen("0.0.0.0", 80, one) as server, listen(OUTSIDE4, 7000, world.netns_fd) as outside:
        assert meets(server, "10.90.0.3", 80, two) == "10.90.0.2"
        assert meets(outside, OUTSIDE4, 7000, one) == "10.99.0.1"
    for name, fd in (("one", one), ("two", two)):
        unplug(networks, name, fd)


def test_a_wrong_guess_leaves_no_trace(networks: BridgeNetworks, world: World) -> None:
    networks.pool.refill(NET.id)
    wanted = Endpoint(network=NET.id, interface="eth0", address="10.90.0.77", mac="02:aa:bb:cc:dd:ee")
    one = plug(networks, "one", wanted)
    assert inner(one).count("inet ") == 1
    assert "10.90.0.77/24" in inner(one)
    assert "default via 10.90.0.1" in inner(one)
    with inside(one):
        assert "02:aa:bb:cc:dd:ee" in run("ip", "link", "show", "eth0")
        assert Path("/proc/sys/net/ipv4/conf/eth0/arp_ignore").read_text() == "0\n"
    with listen("0.0.0.0", 80, one) as server:
        meets(server, "10.90.0.77", 80)
    networks.pool.refill(NET.id)
    assert "10.90.0.78" in networks.pool.addresses(NET.id)
    unplug(networks, "one", one)


def test_who_waits_is_deaf(networks: BridgeNetworks) -> None:
    """Its address may be given to a container that runs already, or be one that nobody may have."""
    networks.pool.refill(NET.id)
    with pytest.raises(OSError, match="No route to host"):
        connect("10.90.0.2", 80)
    taken = networks.pool.take()
    networks.connect("late", taken, plain_endpoint(NET, "10.90.0.2"))
    with listen("0.0.0.0", 80, taken) as server:
        assert meets(server, "10.90.0.2", 80) == "10.90.0.1"
    unplug(networks, "late", taken)


def test_no_way_out_is_guessed_where_there_is_none(networks: BridgeNetworks) -> None:
    networks.pool.refill(CLOSED.id)
    one, two = (plug(networks, name, plain_endpoint(CLOSED, f"10.92.0.{name}")) for name in "23")
    assert "default" not in inner(one)
    with listen("0.0.0.0", 80, one) as server:
        with pytest.raises(OSError, match=r"No route to host|timed out"):
            connect("10.92.0.2", 80, two, 0.3)  # no icc
        meets(server, "10.92.0.2", 80)
    for name, fd in (("2", one), ("3", two)):
        unplug(networks, name, fd)


def test_names_and_ipv6_are_ready(networks: BridgeNetworks) -> None:
    networks.pool.refill(SIX.id)
    endpoint = msgspec.structs.replace(plain_endpoint(SIX, "10.91.0.2"), address6="fd91::2")
    one = plug(networks, "one", endpoint, ports=(Port(host=0, container=80),))
    assert "fd91::2/64" in inner(one)
    assert len(networks.resolver("one")) == 2
    with inside(one):
        assert RESOLVER in run("nft", "list", "ruleset")
        assert "fe80::42:aff:fe5b:2/64" in run("ip", "-6", "addr", "show", "eth0")
    with listen("::", 80, one) as server:
        meets(server, "fd91::2", 80)
    unplug(networks, "one", one)


def test_a_network_that_is_gone_has_no_spares(networks: BridgeNetworks) -> None:
    networks.pool.refill(NET.id)
    held = networks.pool.take(NET.id)
    networks.down(NET.id)
    networks.pool.give_back(held)
    assert networks.pool.refill(NET.id, 9)  # plain ones in their place
    eventually(lambda: not any(name.startswith("nne") for name in links()))
    assert networks.pool.addresses(NET.id) == set()
    other = networks.pool.take(NET.id)
    assert inner(other) == ""
    networks.pool.give_back(other)


def test_ports_of_bridges_say_nothing_of_their_own(networks: BridgeNetworks) -> None:
    one = plug(networks, "one", plain_endpoint(NET, "10.90.0.2"))
    assert "nne" not in run("ip", "-6", "-o", "addr")
    unplug(networks, "one", one)


def test_whatever_comes_gets_what_it_asked_for(networks: BridgeNetworks) -> None:
    """Starts, ends and refills in any order: each container has its address, once, and is reached."""
    choice = random.Random(7)
    pools = {spec: AddressAllocator(spec.subnet, gateway=spec.gateway) for spec in (NET, CLOSED)}
    running: dict[str, tuple[NetworkSpec, str, int]] = {}
    for number in range(60):
        spec = choice.choice(list(pools))
        act = choice.choice(("start", "start", "end", "refill"))
        if act == "refill":
            networks.pool.refill(spec.id, choice.randint(1, 3))
        elif act == "start" and len(running) < 9:
            name = str(number)
            wanted = choice.choice(("", "", spec.gateway[:-1] + str(choice.randint(2, 13))))
            address = pools[spec].take(name, preferred=wanted)
            running[name] = spec, address, plug(networks, name, plain_endpoint(spec, address))
        elif running:
            name = choice.choice(list(running))
            spec, _, fd = running.pop(name)
            unplug(networks, name, fd)
            pools[spec].free(name)
        for _, address, fd in running.values():
            assert inner(fd).count(f"inet {address}/") == inner(fd).count("inet ") == 1
    for _, address, fd in running.values():
        with listen("0.0.0.0", 80, fd) as server:
            meets(server, address, 80)
    for name, (_, _, fd) in running.items():
        unplug(networks, name, fd)


def test_modes_give_an_address_once(world: World) -> None:
    modes = NetworkModes(pool_size=3)
    held = []
    for number in range(40):
        modes.refill("nat", number % 3)
        held.append(modes.attach("nat"))
        if number % 4 == 3:
            modes.detach(held.pop(number % len(held)))
        assert len({one.address for one in held}) == len(held)
    modes.close()
    eventually(links, {"lo", "up0"})


@pytest.mark.parametrize(
    ("last", "used", "expected"),
    [
        ("10.92.0.1", (), "10.92.0.2"),
        ("10.92.0.2", ("10.92.0.3",), "10.92.0.4"),
        ("10.92.0.13", (), "10.92.0.14"),
        ("10.92.0.14", (), ""),
        ("10.92.0.0", (), "10.92.0.2"),
        ("", (), ""),
    ],
)
def test_the_next_address(last: str, used: tuple[str, ...], expected: str) -> None:
    assert next_address(CLOSED, last, used) == expected
