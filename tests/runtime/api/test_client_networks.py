"""Networks, names and published ports through docker's command and ours, inside and on the host."""

from __future__ import annotations

import http.client
import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.clients import Client
from tests.runtime.daemon_process import Daemon

pytestmark = [pytest.mark.root, pytest.mark.network, pytest.mark.own_daemon]

SERVE = ("busybox", "httpd", "-f", "-p", "80", "-h", "/etc")
SLEEP = ("busybox", "sleep", "600")
TWO_GATEWAYS = ("--gateway", "10.232.0.1", "--gateway", "10.232.0.2")
LOOPBACKS = ("127.0.0.1", "::1") if Path("/proc/net/if_inet6").exists() else ("127.0.0.1",)


@pytest.fixture(autouse=True)
def networks(client: Client) -> Iterator[None]:
    """Nobody's networks stay."""
    yield
    client.daemon.empty()


def serve(client: Client, name: str, *flags: object) -> None:
    """Run a server, and wait until it listens."""
    client("run", "-d", "--stop-timeout", "0", "--name", name, "--hostname", name, *flags, *SERVE)
    client(
        "exec", name, "sh", "-c", "until wget -qO /dev/null http://127.0.0.1/hostname; do sleep 0.05; done"
    )


def fetch(address: str, port: int) -> str:
    """Ask what a container serves: its host name."""
    connection = http.client.HTTPConnection(address, port, timeout=60)
    try:
        connection.request("GET", "/hostname")
        return connection.getresponse().read().decode().strip()
    finally:
        connection.close()


def inside(client: Client, name: str, *command: str) -> str:
    return client("exec", name, *command)


def ports(client: Client, name: str, port: str) -> list[tuple[str, int]]:
    lines = client("port", name, port).splitlines()
    return [(host.strip("[]"), int(number)) for host, _, number in (line.rpartition(":") for line in lines)]


# ---- networks --------------------------------------------------------------------------------------------


def test_a_network_is_what_was_asked_for(client: Client):
    client(
        "network", "create", "--subnet", "10.231.0.0/24", "--gateway", "10.231.0.254", "--ip-range",
        "10.231.0.128/25", "--aux-address", "router=10.231.0.128", "--ipv6", "--subnet", "fd31::/64",
        "--label", "tier=back", "--opt", "com.docker.network.driver.mtu=1400", "wide",
    )  # fmt: skip
    (found,) = json.loads(client("network", "inspect", "wide"))
    four, six = sorted(found["IPAM"]["Config"], key=lambda one: ":" in one["Subnet"])  # docker shuffles them
    assert four == {
        "Subnet": "10.231.0.0/24",
        "IPRange": "10.231.0.128/25",
        "Gateway": "10.231.0.254",
        "AuxiliaryAddresses": {"router": "10.231.0.128"},
    }
    assert (six["Subnet"], found["EnableIPv6"], found["Labels"]) == ("fd31::/64", True, {"tier": "back"})
    seen = client(
        "run", "--rm", "--network", "wide", "busybox", "sh", "-c",
        "ip -4 route; cat /sys/class/net/eth0/mtu; ip -6 route | grep default",
    )  # fmt: skip
    assert "default via 10.231.0.254 dev eth0" in seen
    assert "src 10.231.0.129" in seen
    assert "\n1400\n" in seen
    assert f"default via {six['Gateway']} dev eth0" in seen
    for words, said in (
        (("--subnet", "10.231.0.0/16", "b"), "Pool overlaps with other one on this address space"),
        (("--subnet", "127.0.0.0/8", "b"), "overlaps with the host's own address 127.0.0.1"),
        (("--subnet", "10.232.0.1/24", "b"), "invalid subnet 10.232.0.1/24: it should be 10.232.0.0/24"),
        (
            ("--subnet", "10.232.0.0/16", "--subnet", "10.232.1.0/24", "b"),
            "multiple overlapping subnet configuration is not supported",
        ),
        (
            ("--subnet", "10.232.0.0/24", "--subnet", "10.233.0.0/24", *TWO_GATEWAYS, "b"),
            "cannot configure multiple gateways (10.232.0.2, 10.232.0.1) for the same subnet (10.232.0.0/24)",
        ),
        (("--opt", "com.docker.network.bridge.name=lo", "b"), "a link of this name exists already"),
        (("wide",), "network with name wide already exists"),
        (("--driver", "overlay", "b"), 'plugin "overlay" not found'),
    ):
        assert said in client.refused("network", "create", *words)


def test_networks_are_listed_by_filters_and_removed_when_nobody_is_on_them(client: Client):
    client("network", "create", "--label", "kind=one", "first")
    client("network", "create", "--internal", "second")

    def listed(*filters: str) -> list[str]:
        words = [word for one in filters for word in ("--filter", one)]
        return client("network", "ls", "--format", "{{.Name}}", *words).split()

    assert listed() == ["bridge", "first", "host", "none", "second"]
    assert listed("label=kind=one") == listed("name=fir") == ["first"]
    assert listed("type=custom", "driver=bridge") == listed("dangling=true") == ["first", "second"]
    assert listed("driver=null") == ["none"]
    serve(client, "web", "--network", "second")
    assert "has active endpoints" in client.refused("network", "rm", "second")
    assert "first" in client("network", "prune", "-f", "--filter", "label=kind=one")
    client("rm", "-f", "web")
    client("network", "rm", "second")
    assert "network second not found" in client.refused("network", "rm", "second")
    assert "pre-defined network" in client.refused("network", "rm", "bridge")


def test_a_running_container_comes_and_goes(client: Client):
    client("network", "create", "--subnet", "10.233.0.0/24", "one")
    client("network", "create", "--subnet", "10.234.0.0/24", "two")
    serve(client, "web", "--network", "one", "-p", "127.0.0.1::80")
    client("run", "-d", "--name", "other", "--network", "two", "--stop-timeout", "0", *SLEEP)
    assert "bad address" in client("run", "--rm", "--network", "two", "busybox", "sh", "-c",
                                   "wget -qO- web 2>&1 || true")  # fmt: skip
    flags = ("--ip", "10.234.0.77", "--link-local-ip", "169.254.7.7", "--alias", "www")
    client("network", "connect", *flags, "two", "web")
    assert inside(client, "other", "wget", "-qO-", "http://www/hostname") == "web\n"
    seen = inside(client, "web", "ip", "-4", "addr", "show", "eth1")
    assert "10.234.0.77/24" in seen
    assert "169.254.7.7/16" in seen
    assert "10.234.0.77\tweb" in inside(client, "web", "cat", "/etc/hosts")
    assert "already exists in network two" in client.refused("network", "connect", "two", "web")
    client("network", "disconnect", "one", "web")
    assert inside(client, "web", "ip", "route").startswith("default via 10.234.0.1 dev eth1")
    (at,) = ports(client, "web", "80")
    assert fetch(*at) == "web", "the port leads to the other network now"
    client("network", "disconnect", "two", "web")
    assert inside(client, "web", "ls", "/sys/class/net").split() == ["lo"]
    assert "is not connected to network two" in client.refused("network", "disconnect", "two", "web")


def test_internal_and_isolated_networks_keep_what_they_promise(client: Client):
    client("network", "create", "--internal", "quiet")
    client("network", "create", "--opt", "com.docker.network.bridge.enable_icc=false", "apart")
    serve(client, "web", "--network", "quiet")
    serve(client, "alone", "--network", "apart")
    script = "ip route | grep -c default; wget -qO- http://web/hostname"
    assert client("run", "--rm", "--network", "quiet", "busybox", "sh", "-c", script) == "0\nweb\n"
    serve(client, "both", "--network", "quiet", "-p", "127.0.0.1::80")
    assert client("port", "both") == "", "no way in"
    client("network", "connect", "apart", "both")
    (at,) = ports(client, "both", "80")
    assert fetch(*at) == "both"
    client("network", "disconnect", "apart", "both")
    assert client("port", "both") == ""
    script = "nslookup alone >/dev/null && wget -T 1 -qO- http://alone/hostname 2>&1 || true"
    assert "timed out" in client("run", "--rm", "--network", "apart", "busybox", "sh", "-c", script)


# ---- names -----------------------------------------------------------------------------------------------


def test_containers_find_each_other_by_all_their_names(client: Client):
    client("network", "create", "app")
    serve(client, "web", "--network", "app", "--network-alias", "www", "--network-alias", "both")
    serve(client, "api", "--network", "app", "--network-alias", "both")
    short = client("ps", "-q", "--filter", "name=web").strip()
    client("run", "-d", "--name", "asks", "--network", "app", "--link", "web:linked", "--stop-timeout", "0",
           *SLEEP)  # fmt: skip
    for name in ("web", "www", "web.app", short, "linked"):
        assert inside(client, "asks", "wget", "-qO-", f"http://{name}/hostname") == "web\n"
    assert inside(client, "asks", "nslookup", "both").count("Address: ") == 2
    address = client("inspect", "-f", "{{.NetworkSettings.Networks.app.IPAddress}}", "web").strip()
    assert "web.app" in inside(client, "asks", "nslookup", address)
    client("rename", "web", "new")
    assert inside(client, "asks", "wget", "-qO-", "http://new/hostname") == "web\n"
    client("rm", "-f", "new")
    assert "server can't find new" in client("exec", "asks", "nslookup", "new", status=1)


def test_choices_reach_hosts_and_resolv_conf(client: Client):
    client("network", "create", "app")
    flags = ("--add-host", "up:host-gateway", "--add-host", "fixed:192.0.2.7", "--dns-search", "example.org")
    seen = client(
        "run", "--rm", "--network", "app", *flags, "busybox", "cat", "/etc/hosts", "/etc/resolv.conf"
    )
    gateway = json.loads(client("network", "inspect", "bridge"))[0]["IPAM"]["Config"][0]["Gateway"]
    for line in (f"{gateway}\tup", "192.0.2.7\tfixed", "nameserver 127.0.0.11", "search example.org"):
        assert f"{line}\n" in seen
    seen = client(
        "run", "--rm", "--dns", "192.0.2.9", "--dns-opt", "ndots:3", "busybox", "cat", "/etc/resolv.conf"
    )
    assert "nameserver 192.0.2.9\n" in seen
    assert "options ndots:3\n" in seen


def test_old_links_give_names_and_variables(client: Client):
    serve(client, "db", "-e", "FOO=1", "--expose", "5432")
    seen = client(
        "run", "--rm", "--link", "db:sql", "busybox", "sh", "-c", "env; wget -qO- http://sql/hostname"
    )
    assert "SQL_ENV_FOO=1\n" in seen
    assert ":5432\n" in seen
    assert seen.endswith("db\n")


def test_a_linked_container_has_the_links_name_too_whatever_they_are_called(client: Client):
    serve(client, "db")
    client("create", "--name", "web", "--link", "db:sql", "--link", "db:two", *SLEEP)
    client("rename", "db", "store")
    client("rename", "web", "app")
    assert (
        client("inspect", "-f", "{{json .HostConfig.Links}}", "app")
        == '["/store:/app/sql","/store:/app/two"]\n'
    )
    assert client("inspect", "-f", "{{.Name}}", "app/sql") == "/store\n"
    names = client("ps", "--no-trunc", "--format", "{{.Names}}", "-f", "name=store")
    assert names.strip() == "app/sql,app/two,store"
    client("start", "app")
    for name in ("sql", "two"):
        assert inside(client, "app", "wget", "-qO-", f"http://{name}/hostname") == "db\n"
    assert "SQL_NAME=/app/sql\n" in inside(client, "app", "env")
    client("stop", "store")
    seen = inside(client, "app", "env")
    assert "SQL_NAME" not in seen, "it tells of what runs"
    said = client.refused("run", "--rm", "--link", "nobody", "busybox", "true")
    assert "could not get container for nobody" in said


# ---- ports -----------------------------------------------------------------------------------------------


def test_published_ports_are_reached_from_everywhere_and_taken_once(client: Client):
    serve(client, "web", "-p", "80")
    bound = ports(client, "web", "80")
    assert {host for host, _ in bound} == {"0.0.0.0", "::"}
    (port,) = {number for _, number in bound}
    for address in LOOPBACKS:
        assert fetch(address, port) == "web"
    gateway = inside(client, "web", "sh", "-c", "ip route | sed -n 's/default via //p'").split()[0]
    url = f"http://{gateway}:{port}/hostname"
    assert inside(client, "web", "wget", "-qO-", url) == "web\n", "by the host, back to itself"
    assert client("run", "--rm", "busybox", "wget", "-qO-", url) == "web\n"
    said = client.refused("run", "--rm", "-p", f"{port}:80", "busybox", "true")
    assert f"Bind for 0.0.0.0:{port} failed: port is already allocated" in said
    with socket.socket(), pytest.raises(OSError, match="in use"):
        socket.create_server(("0.0.0.0", port))
    client("rm", "-f", "web")
    serve(client, "next", "-p", f"{port}:80")
    assert fetch("127.0.0.1", port) == "next"


def test_ports_are_chosen_from_ranges_for_one_address_and_of_what_is_exposed(client: Client):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        first = taken.getsockname()[1]
        serve(client, "web", "-p", f"127.0.0.1:{first}-{first + 9}:80", "--expose", "81/udp", "-P")
        ((host, port),) = ports(client, "web", "80")
    assert host == "127.0.0.1"
    assert first < port <= first + 9
    assert fetch("127.0.0.1", port) == "web"
    assert ports(client, "web", "81/udp")
    client("network", "create", "--opt", "com.docker.network.bridge.host_binding_ipv4=127.0.0.1", "near")
    serve(client, "near", "--network", "near", "-p", "80")
    ((host, port),) = ports(client, "near", "80")
    assert (host, fetch(host, port)) == ("127.0.0.1", "near")


def test_ports_and_names_survive_the_daemon(client: Client, daemon: Daemon):
    client("network", "create", "app")
    serve(client, "web", "--network", "app", "-p", "80")
    client("run", "-d", "--name", "asks", "--network", "app", "--stop-timeout", "0", *SLEEP)
    before = ports(client, "web", "80")
    daemon.terminate(signal.SIGKILL)
    for address in LOOPBACKS:
        assert fetch(address, before[0][1]) == "web", "while there is no daemon"
    daemon.start()
    assert ports(client, "web", "80") == before
    assert fetch("127.0.0.1", before[0][1]) == "web"
    assert inside(client, "asks", "wget", "-qO-", "http://web/hostname") == "web\n"
    client("network", "disconnect", "app", "web")
    with pytest.raises(ConnectionRefusedError):
        fetch("127.0.0.1", before[0][1])


def test_what_shares_a_network_sees_the_other_s(client: Client):
    serve(client, "web", "-p", "80")
    script = "wget -qO- http://127.0.0.1/hostname; hostname; tail -n 1 /etc/hosts"
    seen = client("run", "--rm", "--network", "container:web", "busybox", "sh", "-c", script).split()
    assert seen[:2] == ["web", "web"]
    assert seen[3] == "web"
    ((_, port), *_) = ports(client, "web", "80")
    script = f"wget -qO- http://127.0.0.1:{port}/hostname"
    assert client("run", "--rm", "--network", "host", "busybox", "sh", "-c", script) == "web\n"
    assert client("run", "--rm", "--network", "none", "busybox", "ls", "/sys/class/net") == "lo\n"
    for network, said in (
        ("container:nobody", "No such container: nobody"),
        ("nowhere", "network nowhere not found"),
    ):
        assert said in client.refused("run", "--rm", "--network", network, "busybox", "true")
    assert client("ps", "-a", "--format", "{{.Names}}") == "web\n", "nothing stays of what was refused"


@pytest.mark.skipif(len(LOOPBACKS) < 2, reason="needs IPv6")
def test_the_loopback_has_ipv6_where_nobody_switched_it_off(client: Client):
    client("network", "create", "plain")
    off = ("--sysctl", "net.ipv6.conf.all.disable_ipv6=1")
    script = "cat /etc/hosts /proc/net/if_inet6"
    for flags, links in (((), ["lo"]), (("--network", "plain"), ["lo"]), (off, [])):
        seen = client("run", "--rm", *flags, "busybox", "sh", "-c", script)
        assert ("::1\tlocalhost ip6-localhost ip6-loopback\n" in seen) == bool(links)
        assert [line.split()[-1] for line in seen.splitlines() if len(line.split()) == 6] == links


def test_a_hardware_address_that_was_asked_for_is_in_the_config(client: Client):
    client("create", "--name", "own", "--mac-address", "02:42:ac:11:00:42", *SLEEP)
    client("create", "--name", "any", *SLEEP)
    assert client("inspect", "-f", "{{.Config.MacAddress}}", "own") == "02:42:ac:11:00:42\n"
    assert "02:42" not in client("inspect", "-f", "{{json .Config}}", "any")
