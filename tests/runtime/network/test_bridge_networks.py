"""Named networks on a host of their own: real bridges, containers that are namespaces, a world outside."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

import dns.message
import msgspec
import pytest

from runtime.network.bridge_networks import BridgeNetworks
from runtime.network.container_netns import RESOLVER, inside
from runtime.network.errors import NetworkError
from runtime.network.host.firewall import Firewall
from runtime.network.host.settings import HostSettings
from runtime.network.host.sweeping import sweep
from runtime.network.kernel import conntrack
from runtime.network.kernel.netns import NetworkNamespace
from runtime.network.model import Endpoint, NetworkSpec, Port
from runtime.spawn.owner import Owner
from tests.paths import REPOSITORY
from tests.runtime.free_ports import free_port
from tests.runtime.own_host import HOST4, HOST6, OUTSIDE4, OUTSIDE6, World, connect, listen, meets, run
from tests.waiting import eventually

pytestmark = [pytest.mark.root, pytest.mark.network]

ONE = NetworkSpec(
    id="1" * 64,
    link="nn-one",
    subnet="10.90.0.0/24",
    gateway="10.90.0.1",
    subnet6="fd90::/64",
    gateway6="fd90::1",
)
TWO = NetworkSpec(id="2" * 64, link="nn-two", subnet="10.91.0.0/24", gateway="10.91.0.1")
SECRET = msgspec.structs.replace(
    TWO, id="3" * 64, link="nn-secret", subnet="10.92.0.0/24", gateway="10.92.0.1", internal=True
)


def endpoint(spec: NetworkSpec, number: int, interface: str = "eth0", **changes: object) -> Endpoint:
    base = spec.gateway.rpartition(".")[0]
    fields: dict[str, object] = {
        "network": spec.id,
        "interface": interface,
        "address": f"{base}.{number}",
        "address6": f"fd90::{number}" if spec.subnet6 else "",
        "mac": f"02:42:00:00:{spec.id[0]:0>2}:{number:02x}",
    }
    return Endpoint(**(fields | changes))  # type: ignore[arg-type]


class Box:
    """A container as far as the network sees it."""

    def __init__(self, networks: BridgeNetworks, name: str) -> None:
        self.networks, self.name = networks, name
        self.namespace = NetworkNamespace()
        self.fd = self.namespace.fd

    def plug(self, *endpoints: Endpoint, ports: tuple[Port, ...] = ()) -> tuple[Port, ...]:
        return self.networks.attach(self.name, self.fd, endpoints, ports)

    def end(self) -> None:
        self.networks.release(self.name)
        self.namespace.close()


@pytest.fixture
def networks(world: World) -> Iterator[BridgeNetworks]:
    made = BridgeNetworks()
    for spec in (ONE, TWO, SECRET):
        made.up(spec)
    yield made
    made.close()
    made.close()  # idempotent
    eventually(links, {"lo", "up0"})  # the kernel reaps namespaces beside us
    assert "nn_" not in run("nft", "list", "tables")


@pytest.fixture
def box(networks: BridgeNetworks) -> Iterator[contextlib.ExitStack]:
    with contextlib.ExitStack() as stack:

        def make(name: str, *endpoints: Endpoint, ports: tuple[Port, ...] = ()) -> Box:
            made = Box(networks, name)
            stack.callback(made.end)
            made.plug(*endpoints, ports=ports)
            return made

        yield make  # type: ignore[misc]


def links() -> set[str]:
    return {line.split(": ")[1].partition("@")[0] for line in run("ip", "-o", "link").splitlines()}


def until_refused(address: str, port: int) -> None:
    """A relay is another process, and lets go of a port a little after it was told."""
    deadline = time.monotonic() + 60
    with pytest.raises(ConnectionRefusedError):
        while time.monotonic() < deadline:
            with contextlib.suppress(ConnectionResetError):  # closed while it was being accepted
                connect(address, port).close()
            time.sleep(0.01)


def test_neighbours_meet_by_both_families(box, world: World) -> None:
    one, two = box("one", endpoint(ONE, 2)), box("two", endpoint(ONE, 3))
    with listen("0.0.0.0", 80, one.fd) as four, listen("::", 81, one.fd) as six:
        assert meets(four, "10.90.0.2", 80, two.fd) == "10.90.0.3"
        assert meets(six, "fd90::2", 81, two.fd) == "fd90::3"
        assert meets(four, "10.90.0.2", 80) == "10.90.0.1"


def test_what_was_asked_for_is_what_is_inside(box, networks: BridgeNetworks) -> None:
    networks.up(msgspec.structs.replace(TWO, id="4" * 64, link="nn-mtu", subnet="10.93.0.0/24",
                                        gateway="10.93.0.1", mtu=1400))  # fmt: skip
    wanted = endpoint(TWO, 2, network="4" * 64, address="10.93.0.2", mac="02:aa:bb:cc:dd:ee")
    one = box("one", wanted)
    with inside(one.fd):
        link = run("ip", "link", "show", "eth0")
        assert "mtu 1400" in link
        assert "02:aa:bb:cc:dd:ee" in link
        assert "10.93.0.2/24 brd 10.93.0.255" in run("ip", "addr", "show", "eth0")
        assert run("ip", "route", "show", "default").strip() == "default via 10.93.0.1 dev eth0 proto static"
        assert "inet6" not in run("ip", "addr", "show", "eth0")
        assert "inet6 ::1/128" in run("ip", "addr", "show", "lo")


def test_the_world_sees_the_hosts_address_and_answers(box, world: World) -> None:
    one = box("one", endpoint(ONE, 2))
    with listen(OUTSIDE4, 7000, world.netns_fd) as four, listen(OUTSIDE6, 7000, world.netns_fd) as six:
        assert meets(four, OUTSIDE4, 7000, one.fd) == HOST4
        assert meets(six, OUTSIDE6, 7000, one.fd) == HOST6


def test_an_internal_network_has_no_way_out_and_none_in(box, world: World) -> None:
    one, two, other = box("a", endpoint(SECRET, 2)), box("b", endpoint(SECRET, 3)), box("c", endpoint(TWO, 2))
    with listen("0.0.0.0", 80, one.fd) as server:
        assert meets(server, "10.92.0.2", 80, two.fd) == "10.92.0.3"
        with pytest.raises(OSError):
            connect("10.92.0.2", 80, other.fd, 0.3)
        with pytest.raises(OSError, match="unreachable"):
            connect(OUTSIDE4, 7000, one.fd, 0.3)


def test_networks_are_kept_apart(box, world: World) -> None:
    one, two = box("one", endpoint(ONE, 2)), box("two", endpoint(TWO, 2))
    with listen("0.0.0.0", 80, one.fd), pytest.raises(TimeoutError):
        connect("10.90.0.2", 80, two.fd, 0.3)
    with inside(world.netns_fd):
        run("ip", "route", "add", ONE.subnet, "via", HOST4)
    with listen("0.0.0.0", 80, one.fd), pytest.raises(TimeoutError):
        connect("10.90.0.2", 80, world.netns_fd, 0.3)


def test_without_icc_only_the_host_is_reached(box, networks: BridgeNetworks) -> None:
    networks.up(msgspec.structs.replace(TWO, icc=False))
    one, two = box("one", endpoint(TWO, 2)), box("two", endpoint(TWO, 3))
    with listen("0.0.0.0", 80, one.fd) as server:
        with pytest.raises(OSError):
            connect("10.91.0.2", 80, two.fd, 0.3)
        assert meets(server, "10.91.0.2", 80) == "10.91.0.1"


def test_published_ports_lead_inside_from_everywhere(box, world: World) -> None:
    wide, local, fixed = free_port(), free_port(), free_port()
    ports = (
        Port(host=wide, container=80),
        Port(host=local, container=80, host_ip="127.0.0.1"),
        Port(host=fixed, container=80, host_ip=HOST4),
    )
    one, neighbour, other = (
        box("one", endpoint(ONE, 2), ports=ports), box("two", endpoint(ONE, 3)), box("c", endpoint(TWO, 2))
    )  # fmt: skip
    with listen("::", 80, one.fd) as server:  # dual-stack
        for address in ("127.0.0.1", HOST4, HOST6, "::1", ONE.gateway):
            meets(server, address, wide)
        meets(server, "127.0.0.1", local)
        meets(server, HOST4, fixed)
        assert meets(server, HOST4, wide, world.netns_fd) == f"::ffff:{OUTSIDE4}"
        assert meets(server, HOST6, wide, world.netns_fd) == OUTSIDE6
        meets(server, HOST4, wide, neighbour.fd)
        meets(server, HOST4, wide, one.fd)  # its own, back through the host
        meets(server, HOST4, wide, other.fd)
        with pytest.raises(ConnectionRefusedError):
            connect(HOST4, local, world.netns_fd)
    one.end()
    for address in ("127.0.0.1", HOST4, "::1"):
        until_refused(address, wide)


def test_ipv6_reaches_a_container_that_has_ipv4_only(box, world: World) -> None:
    port = free_port()
    one = box("one", endpoint(TWO, 2), ports=(Port(host=port, container=80),))
    with listen("0.0.0.0", 80, one.fd) as server:
        for address in ("::1", HOST6):
            assert meets(server, address, port) == TWO.gateway
        assert meets(server, HOST6, port, world.netns_fd) == TWO.gateway


def test_datagrams_are_published_too(box, world: World) -> None:
    port = free_port(socket.SOCK_DGRAM)
    one = box("one", endpoint(ONE, 2), ports=(Port(host=port, container=53, protocol="udp"),))
    with listen("::", 53, one.fd, socket.SOCK_DGRAM) as server:
        for address in ("127.0.0.1", "::1", HOST6):
            with socket.socket(
                socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM
            ) as client:
                client.settimeout(60)
                client.connect((address, port))
                client.send(b"?")
                data, sender = server.recvfrom(9)
                server.sendto(b"!", sender)
                assert (data, client.recv(9)) == (b"?", b"!")


def test_who_keeps_sending_reaches_the_next_container_at_the_port(box, networks: BridgeNetworks) -> None:
    """The kernel translates a connection as it did at first, for as long as it lasts."""
    port = free_port(socket.SOCK_DGRAM)
    ports = (Port(host=port, container=53, protocol="udp"),)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:

        def send(data: bytes) -> None:
            for _ in range(9):
                with contextlib.suppress(ConnectionRefusedError):  # that is what came of the one before
                    client.send(data)
                    return

        client.connect((HOST4, port))
        client.send(b"nobody is there yet")
        for number, name in ((2, "first"), (3, "second")):
            one = Box(networks, name)
            one.plug(endpoint(ONE, number), ports=ports)
            with listen("0.0.0.0", 53, one.fd, socket.SOCK_DGRAM) as server:
                send(name.encode())
                assert server.recv(99) == name.encode()
            one.end()
            send(b"nobody is there now")


def test_only_connections_to_the_port_of_this_host_are_forgotten(
    networks: BridgeNetworks, world: World
) -> None:
    far, near = (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
    )
    with far, near, listen(HOST4, 7777, None, socket.SOCK_DGRAM):
        far.sendto(b"?", (OUTSIDE4, 7777))
        near.sendto(b"?", (HOST4, 7777))

        def known() -> set[str]:
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as at:
                return {target for target, _ in conntrack._connections(at, socket.AF_INET, 7777)}

        assert known() == {OUTSIDE4, HOST4}
        conntrack.forget_udp([("", 7778), ("10.1.1.1", 7777)])
        assert known() == {OUTSIDE4, HOST4}
        conntrack.forget_udp([("", 7777)])
        assert known() == {OUTSIDE4}


def test_ports_are_chosen_and_conflicts_are_worded_as_docker_does(box, networks: BridgeNetworks) -> None:
    made = Box(networks, "one")
    first = free_port()
    with socket.create_server(("0.0.0.0", first)):
        bound = made.plug(
            endpoint(ONE, 2),
            ports=(Port(host=0, container=80), Port(host=first, host_end=first + 20, container=81)),
        )
        assert [port.host_ip for port in bound] == ["0.0.0.0", "::", "0.0.0.0", "::"]
        assert bound[0].host == bound[1].host > 0
        assert first < bound[2].host == bound[3].host <= first + 20
    words = f"Bind for 0.0.0.0:{bound[0].host} failed: port is already allocated"
    other = Box(networks, "two")
    with pytest.raises(NetworkError, match=words):
        other.plug(endpoint(ONE, 3), ports=(Port(host=bound[0].host, container=1),))
    with pytest.raises(NetworkError, match="cannot assign requested address"):
        other.plug(endpoint(ONE, 3), ports=(Port(host=1234, container=1, host_ip="203.0.113.1"),))
    made.end()
    again = other.plug(endpoint(ONE, 3), ports=bound[:1])
    assert again[0].host == bound[0].host
    other.end()


def test_a_published_port_is_free_again_at_once(networks: BridgeNetworks) -> None:
    port = free_port()
    for _ in range(3):
        one = Box(networks, "one")
        one.plug(
            endpoint(TWO, 2),
            ports=(Port(host=port, container=80), Port(host=port, container=80, protocol="udp")),
        )
        with listen("0.0.0.0", 80, one.fd) as server:
            meets(server, "::1", port)
        one.end()


def test_a_container_does_not_reach_the_hosts_loopback(box) -> None:
    one = box("one", endpoint(ONE, 2), ports=(Port(host=free_port(), container=80),))
    with inside(one.fd):
        run("ip", "route", "add", "127.0.0.99/32", "via", ONE.gateway, "table", "local", "dev", "eth0")
        Path("/proc/sys/net/ipv4/conf/eth0/route_localnet").write_text("1")
    with listen("127.0.0.99", 5000), pytest.raises(TimeoutError):
        connect("127.0.0.99", 5000, one.fd, 0.3)


def test_a_running_container_comes_and_goes(box, networks: BridgeNetworks, world: World) -> None:
    port = free_port()
    one, neighbour = (
        box("one", endpoint(ONE, 2), ports=(Port(host=port, container=80),)),
        box("b", endpoint(TWO, 3)),
    )
    made = networks.connect("one", one.fd, endpoint(TWO, 2, "", default_route=False))
    assert made.interface == "eth1"
    with listen("0.0.0.0", 80, one.fd) as server:
        assert meets(server, "10.91.0.2", 80, neighbour.fd) == "10.91.0.3"
        networks.disconnect("one", one.fd, endpoint(ONE, 2))
        networks.connect("one", one.fd, msgspec.structs.replace(made, default_route=True))
        meets(server, HOST4, port)  # leads to the other network now
        with listen(OUTSIDE4, 7000, world.netns_fd) as outside:
            assert meets(outside, OUTSIDE4, 7000, one.fd) == HOST4
        networks.disconnect("one", one.fd, made)
        networks.disconnect("one", one.fd, made)  # not connected is fine
        with pytest.raises(ConnectionRefusedError):
            connect(HOST4, port)
        again = networks.connect("one", one.fd, endpoint(ONE, 2, ""))
        assert again.interface == "eth0"
        meets(server, HOST4, port)
    with inside(one.fd):
        assert links() == {"lo", "eth0"}


def test_ports_are_held_and_led_only_to_networks_that_lead_out(box, networks: BridgeNetworks) -> None:
    port = free_port()
    one = box("one", endpoint(SECRET, 2))
    asked = (Port(host=port, container=80),)
    networks.connect("one", one.fd, endpoint(SECRET, 2), ())
    assert networks.published("one") == ()
    with socket.create_server((HOST4, port)), pytest.raises(NetworkError, match="already allocated"):
        networks.connect("one", one.fd, endpoint(ONE, 2, ""), asked)
    with inside(one.fd):
        assert links() == {"lo", "eth0"}
    networks.connect("one", one.fd, endpoint(ONE, 2, ""), asked)
    assert {(bound.host, bound.container) for bound in networks.published("one")} == {(port, 80)}
    with listen("0.0.0.0", 80, one.fd) as server:
        meets(server, HOST4, port)
        networks.disconnect("one", one.fd, endpoint(ONE, 2))
        assert networks.published("one") == ()
        with pytest.raises(ConnectionRefusedError):
            connect(HOST4, port)
        networks.connect("one", one.fd, endpoint(ONE, 2, ""), asked)
        meets(server, HOST4, port)


def test_names_are_asked_inside_and_port_53_stays_free(box, networks: BridgeNetworks) -> None:
    networks.up(msgspec.structs.replace(ONE, names=True))
    one, plain = box("one", endpoint(ONE, 2)), box("two", endpoint(TWO, 3))
    assert networks.resolver("two") == ()
    udp, tcp = (socket.socket(fileno=os.dup(fd)) for fd in networks.resolver("one"))
    query = dns.message.make_query("db", "A").to_wire()
    with udp, tcp, listen("0.0.0.0", 53, one.fd, socket.SOCK_DGRAM), listen("0.0.0.0", 53, one.fd):
        tcp.settimeout(60)
        with inside(one.fd):
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with client:
            client.settimeout(60)
            client.sendto(query, (RESOLVER, 53))
            udp.settimeout(60)
            data, sender = udp.recvfrom(512)
            udp.sendto(data, sender)
            assert client.recvfrom(512) == (query, (RESOLVER, 53))
        assert meets(tcp, RESOLVER, 53, one.fd) == "127.0.0.1"
    one.end()
    assert networks.resolver("one") == ()
    assert plain.fd >= 0


BUSY = """
import resource, socket
from tests.runtime.own_host import own_host
from runtime.network.errors import NetworkError
from runtime.network.container_netns import inside
from runtime.network.model import Endpoint, NetworkSpec, Port
from runtime.network.bridge_networks import BridgeNetworks
from runtime.network.kernel.netns import NetworkNamespace
from runtime.network.kernel.nft import Nft
resource.setrlimit(resource.RLIMIT_NOFILE, (2048, 2048))
with own_host():
    networks = BridgeNetworks()
    held = [socket.socket() for _ in range(1500)]
    networks.up(NetworkSpec(id="7" * 64, link="busy", subnet="10.97.0.0/24", gateway="10.97.0.1", names=True))
    for number in range(2, 12):
        namespace = NetworkNamespace()
        endpoint = Endpoint(network="7" * 64, interface="eth0", address=f"10.97.0.{number}",
                            mac=f"02:42:00:00:00:{number:02x}")
        networks.attach(str(number), namespace.fd, [endpoint], [Port(host=0, container=80)])
        assert len(networks.resolver(str(number))) == 2
        namespace.close()
    networks.close()
    contexts = []
    try:
        while True:
            contexts.append(Nft())
    except NetworkError as error:
        assert "1024" in str(error), error
print("done")
"""


def test_a_process_with_many_open_files_names_and_publishes() -> None:
    """libnftables would end the process (select() beyond 1024 descriptors)."""
    done = subprocess.run([sys.executable, "-c", BUSY], capture_output=True, text=True, cwd=REPOSITORY)
    assert done.stdout == "done\n", done.stderr


def test_an_address_is_good_again_as_soon_as_it_is_free(networks: BridgeNetworks) -> None:
    keeper = Box(networks, "keeper")
    keeper.plug(endpoint(ONE, 9))
    kept = []
    for number in range(4):
        one = Box(networks, f"one{number}")
        one.plug(endpoint(ONE, 2))
        kept.append(os.dup(one.fd))  # the kernel has not reaped the one before
        with listen("0.0.0.0", 80, one.fd) as server:
            assert meets(server, "10.90.0.2", 80, keeper.fd) == "10.90.0.9"
        one.end()
    for fd in kept:
        os.close(fd)
    keeper.end()


def test_a_failed_attach_leaves_nothing(networks: BridgeNetworks) -> None:
    before = links()
    one = Box(networks, "one")
    with pytest.raises(NetworkError, match="9" * 12):
        one.plug(
            endpoint(ONE, 2), endpoint(TWO, 2, "eth1", network="9" * 64), ports=(Port(host=0, container=1),)
        )
    one.namespace.close()
    eventually(links, before)
    with pytest.raises(NetworkError, match="up0: EEXIST"):
        networks.up(msgspec.structs.replace(TWO, id="5" * 64, link="up0"))


def test_forwarding_is_switched_on_noted_and_put_back(world: World) -> None:
    four, six = Path("/proc/sys/net/ipv4/conf"), Path("/proc/sys/net/ipv6/conf")
    switches = [
        four / "up0/forwarding",
        six / "all/forwarding",
        six / "up0/forwarding",
        six / "up0/accept_ra",
    ]
    switches[3].write_text("1")
    before = [path.read_text().strip() for path in switches]
    assert before == ["0", "0", "0", "1"]
    first, second = BridgeNetworks(), BridgeNetworks(Owner.of(os.getppid()))
    first.up(SECRET)
    assert [path.read_text().strip() for path in switches] == before
    first.up(ONE)
    assert [path.read_text().strip() for path in switches] == ["1", "1", "1", "2"]
    second.up(TWO)
    first.close()
    assert switches[0].read_text().strip() == "1"
    second.close()
    assert [path.read_text().strip() for path in switches] == before


@pytest.fixture
def far(networks: BridgeNetworks, world: World) -> Iterator[socket.socket]:
    """A server behind another link of the host, to which the world knows a way."""
    behind = NetworkNamespace()
    run("ip", "link", "add", "side0", "type", "veth", "peer", "name", "eth0")
    run("ip", "link", "set", "eth0", "netns", f"/proc/{os.getpid()}/fd/{behind.fd}")
    run("ip", "addr", "add", "10.98.0.1/24", "dev", "side0")
    run("ip", "link", "set", "side0", "up")
    Path("/proc/sys/net/ipv4/conf/side0/forwarding").write_text("1")
    behind.configure("eth0", IPv4Address("10.98.0.2"), IPv4Network("10.98.0.0/24"), IPv4Address("10.98.0.1"))
    with inside(world.netns_fd):
        run("ip", "route", "add", "10.98.0.0/24", "via", HOST4)
    with listen("0.0.0.0", 80, behind.fd) as server:
        yield server
    run("ip", "link", "del", "side0")
    behind.close()  # the kernel takes its links away later, or was about to


def test_the_host_does_not_become_a_router(
    far: socket.socket, networks: BridgeNetworks, world: World
) -> None:
    with pytest.raises(TimeoutError):
        connect("10.98.0.2", 80, world.netns_fd, 0.3)
    networks._firewall.close()  # without our rules it would be one
    meets(far, "10.98.0.2", 80, world.netns_fd)
    networks._specs.clear()  # the table they are in is gone
    for name in ("nn-one", "nn-two", "nn-secret"):
        run("ip", "link", "del", name)


def test_a_host_that_is_made_a_router_is_one(far: socket.socket, box, networks: BridgeNetworks, world: World):
    switch, uplink = (Path(f"/proc/sys/net/ipv4/conf/{name}/forwarding") for name in ("all", "up0"))
    switch.write_text("1")
    box("one", endpoint(ONE, 2))
    meets(far, "10.98.0.2", 80, world.netns_fd)
    networks.close()
    meets(far, "10.98.0.2", 80, world.netns_fd)
    assert uplink.read_text().strip() == "1", "who has switched all on still needs it"
    networks.up(ONE)
    meets(far, "10.98.0.2", 80, world.netns_fd)


VICTIM = """
import sys, time
from runtime.network.model import NetworkSpec
from runtime.network.bridge_networks import BridgeNetworks
networks = BridgeNetworks()
networks.up(NetworkSpec(id="7" * 64, link="odd-name", subnet="10.97.0.0/24", gateway="10.97.0.1"))
print("up", flush=True)
time.sleep(60)
"""


def test_what_the_dead_left_is_swept_and_the_living_are_spared(networks: BridgeNetworks) -> None:
    victim = subprocess.Popen([sys.executable, "-c", VICTIM], stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    assert victim.stdout.readline() == "up\n"
    assert not {"odd-name", "nn-one"} & set(sweep())
    victim.kill()
    victim.wait()
    networks.up(NetworkSpec(id="8" * 64, link="odd-name", subnet="10.96.0.0/24", gateway="10.96.0.1"))
    assert Firewall(Owner(victim.pid, 0, 0)).table.split("_")[1] in run("nft", "list", "tables")
    swept = sweep()
    assert [name for name in swept if f"nn_{victim.pid}_" in name]
    assert "odd-name" in links()  # the living one's now


def test_settings_of_the_dead_are_put_back(world: World, tmp_path: Path) -> None:
    switch = Path("/proc/sys/net/ipv4/conf/up0/forwarding")
    dead = HostSettings(Owner(2**22, 1, Owner.current().pid_namespace), tmp_path)
    assert dead.need({switch: "1"}) == (str(switch),)
    assert switch.read_text().strip() == "1"
    assert HostSettings(Owner.current(), tmp_path).sweep() == [str(switch)]
    assert switch.read_text().strip() == "0"
    assert HostSettings(Owner.current(), tmp_path).sweep() == []
