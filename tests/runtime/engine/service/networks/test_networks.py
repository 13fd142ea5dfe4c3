"""Networks of a daemon whose spawner and images are fakes: what it gives, refuses, keeps and tells."""

from __future__ import annotations

import asyncio
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runtime.engine.errors import (
    BadParameterError,
    ConflictError,
    EngineError,
    ForbiddenError,
    NotFoundError,
)
from runtime.engine.service.model.request import EndpointSettings, IpamConfig, NetworkingConfig, PortBinding
from runtime.engine.service.networks.live_network import at_rest
from runtime.engine.service.networks.networks import Networks
from runtime.engine.service.networks.query import find
from runtime.engine.service.networks.resolution import ContainerNames
from runtime.engine.service.rules.network_record import Ipam, IpamPool, NetworkCreate
from runtime.engine.service.rules.ports import ports_of
from runtime.engine.spawner.protocol import Endpoint, Link, Linked, NetworkSpec
from runtime.network.host import subnet_lock
from runtime.network.model import Port
from tests.runtime.engine.service.containers.lifecycle_fakes import (
    FakeSpawner,
    create,
    make_service,
    settle,
)
from tests.waiting import in_loop

PREFIX = "com.docker.network.container_iface_prefix"
BRIDGE = "com.docker.network.bridge."


@pytest.fixture(autouse=True)
def addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever addresses this host has, these are they."""
    known = [ip_address("127.0.0.1"), ip_address("192.0.2.7")]
    monkeypatch.setattr("runtime.engine.service.networks.networks.read_addresses", lambda: known)


class WiredSpawner(FakeSpawner):
    """A spawner that notes what it is to make of networks."""

    def __init__(self) -> None:
        super().__init__()
        self.bridges: dict[str, NetworkSpec] = {}
        self.links: list[Link] = []
        self.refuses: Exception | None = None

    async def network_up(self, spec: NetworkSpec) -> None:
        if self.refuses is not None:
            raise self.refuses
        self.bridges[spec.id] = spec

    async def network_down(self, id: str) -> None:  # noqa: A002
        self.bridges.pop(id, None)

    async def link(self, request: Link) -> Linked:
        self.links.append(request)
        if self.refuses is not None:
            raise self.refuses
        made = msgspec.structs.replace(request.endpoint, interface=request.endpoint.interface or "eth7")
        return Linked(endpoint=made, ports=request.ports if request.connect else None)

    async def resolver(self, id: str) -> list[int]:  # noqa: A002
        return []


async def opened(root: Path, spawner: WiredSpawner | None = None) -> Any:
    service: Any = make_service(root)
    service.spawner = spawner or WiredSpawner()
    service.networks = Networks(service)
    await service.networks.open()
    await service.containers.open()
    return service


def net(name: str, subnet: str = "", **fields: Any) -> NetworkCreate:
    pool = fields.pop("pool", {})
    config = [IpamPool(subnet=subnet, **pool)] if subnet else None
    return NetworkCreate(name=name, ipam=Ipam(config=config), **fields)


def on(*networks: str, **settings: Any) -> NetworkingConfig:
    return NetworkingConfig(endpoints_config={name: EndpointSettings(**settings) for name in networks})


def told(service: Any) -> list[tuple[str, str]]:
    return [
        (event.action, event.attributes.get("name", ""))
        for event in service.events._kept
        if event.type == "network"
    ]


async def run(service: Any, name: str, **fields: Any) -> Any:
    """Start a container; return its record."""
    made = await create(service, name, **fields)
    await service.containers.start(made)
    return service.containers.get(made)


async def stop(service: Any, name: str) -> None:
    await service.containers.stop(name, timeout=0)
    await settle(lambda: not service.containers.get(name).state.running)


@in_loop
async def test_three_networks_are_always_there_and_keep_their_ids(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    first = {view.name: view.id for view in service.networks.list()}
    assert sorted(first) == ["bridge", "host", "none"]
    again = await opened(tmp_path)
    assert {view.name: view.id for view in again.networks.list()} == first
    assert service.spawner.bridges == {}
    for name in first:
        with pytest.raises(ForbiddenError, match=f"{name} is a pre-defined network and cannot be removed"):
            await service.networks.remove(name)
        with pytest.raises(ForbiddenError, match="operation is not permitted on predefined"):
            await service.networks.create(net(name))


@in_loop
async def test_the_network_bridge_gives_way_to_a_route_that_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await opened(tmp_path)
    bridge = service.networks.inspect("bridge")
    (pool,) = bridge.ipam.config
    monkeypatch.setattr(
        "runtime.engine.service.networks.table.read_routes", lambda: [ip_network(pool.subnet)]
    )
    one = await run(service, "one")
    spec = service.spawner.bridges[bridge.id]
    assert spec.subnet != pool.subnet
    assert ip_address(one.networks["bridge"].ip_address) in ip_network(spec.subnet)
    monkeypatch.setattr(
        "runtime.engine.service.networks.table.read_routes", lambda: [ip_network(spec.subnet)]
    )
    service.spawner.bridges.clear()
    await run(service, "two")
    assert service.spawner.bridges == {}  # it is up: its own route moves it no more
    again = await opened(tmp_path)
    assert again.networks.inspect("bridge").ipam.config[0].subnet == spec.subnet


@in_loop
async def test_two_daemons_that_make_their_bridges_at_once_have_subnets_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    routes: list[Any] = []
    monkeypatch.setattr("runtime.engine.service.networks.table.read_routes", lambda: list(routes))

    class Spawner(WiredSpawner):
        async def network_up(self, spec: NetworkSpec) -> None:
            await asyncio.sleep(0)
            await super().network_up(spec)
            routes.append(ip_network(spec.subnet))

    both = [(await opened(tmp_path / name, Spawner())).networks for name in ("one", "other")]
    await asyncio.gather(*(one.bring_up(find(one.nets, "bridge")) for one in both))
    one, other = routes
    assert not one.overlaps(other)


@pytest.mark.parametrize("place", ["free", "held", "a file"])
def test_who_hangs_while_it_chooses_holds_up_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(subnet_lock, "_PATIENCE_S", 0.0)
    if place == "a file":
        (tmp_path / "run").touch()

    entered = []

    async def twice() -> None:
        async with subnet_lock.held_in_loop(tmp_path / "run"):
            entered.append("first")
            if place == "held":
                async with subnet_lock.held_in_loop(tmp_path / "run"):
                    entered.append("second, though the first is still there")

    asyncio.run(asyncio.wait_for(twice(), 60))
    assert len(entered) == (2 if place == "held" else 1)


@in_loop
async def test_after_a_reboot_only_a_subnet_that_was_asked_for_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = await opened(tmp_path)
    await service.networks.create(net("any"))
    await service.networks.create(net("mine", "10.5.0.0/24"))
    before = {view.name: view.ipam.config for view in service.networks.list()}
    routes = [ip_network(pool.subnet) for name in ("any", "mine") for pool in before[name]]
    monkeypatch.setattr("runtime.engine.service.networks.table.read_routes", lambda: routes)
    again = await opened(tmp_path)
    for name in ("any", "mine"):
        await run(again, f"on-{name}", network_mode=name)
    after = {view.name: view.ipam.config for view in again.networks.list()}
    assert after["mine"] == before["mine"]
    assert not any(ip_network(after["any"][0].subnet).overlaps(route) for route in routes)


@in_loop
async def test_a_start_and_a_removal_of_its_network_leave_no_bridge_without_a_network(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    await service.networks.create(net("app"))
    await create(service, "web", network_mode="app")
    service.networks._up.clear()  # as after the spawner's end
    removed, started = await asyncio.gather(
        service.networks.remove("app"), service.containers.start("web"), return_exceptions=True
    )
    assert removed is None
    assert isinstance(started, NotFoundError)
    assert service.spawner.bridges == {}


@in_loop
async def test_a_network_is_made_kept_shown_and_removed(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    made = await service.networks.create(
        net("app", "10.5.0.0/16", labels={"a": "b"},
            options={"com.docker.network.bridge.enable_icc": "false"},
            pool={"ip_range": "10.5.1.0/24", "auxiliary_addresses": {"router": "10.5.1.2"}})
    )  # fmt: skip
    spec = service.spawner.bridges[made]
    assert (spec.subnet, spec.gateway, spec.icc, spec.link) == (
        "10.5.0.0/16",
        "10.5.1.0",
        False,
        f"nn-{made[:12]}",
    )
    again = await opened(tmp_path)
    view = again.networks.inspect(made[:10])
    assert view == service.networks.inspect("app")
    document = msgspec.to_builtins(view)
    assert document["IPAM"]["Config"] == [
        {"Subnet": "10.5.0.0/16", "IPRange": "10.5.1.0/24", "Gateway": "10.5.1.0",
         "AuxiliaryAddresses": {"router": "10.5.1.2"}}
    ]  # fmt: skip
    assert (document["EnableIPv6"], document["Scope"], document["Labels"]) == (False, "local", {"a": "b"})
    await service.networks.remove("app")
    assert service.spawner.bridges == {}
    assert told(service) == [("create", "app"), ("destroy", "app")]
    with pytest.raises(NotFoundError, match="network app not found"):
        service.networks.inspect("app")
    assert len(list((tmp_path / "networks").iterdir())) == 3


@pytest.mark.parametrize(
    ("request_", "kind", "words"),
    [
        (net(""), BadParameterError, "invalid network name: name is empty"),
        (net("taken"), ConflictError, "network with name taken already exists"),
        (net("a", driver="overlay"), NotFoundError, 'plugin "overlay" not found'),
        (net("a", driver="host"), ForbiddenError, 'only one instance of "host" network is allowed'),
        (net("a", "10.7.0.0/24"), ForbiddenError, "Pool overlaps with other one on this address space"),
        (net("a", "10.8.0.1/24"), BadParameterError, r"invalid subnet 10.8.0.1/24: it should be 10.8.0.0/24"),
        (net("a", "10.8.0.0/24", pool={"gateway": "10.9.0.1"}), BadParameterError, "invalid gateway"),
        (net("a", options={"com.docker.network.driver.mtu": "x"}), BadParameterError, "MTU: x"),
        (net("a", options={"com.docker.network.driver.mtu": "67"}), BadParameterError, "MTU: 67"),
        (net("a", "192.0.2.0/24"), ForbiddenError, r"\b192\.0\.2\.7\b"),
        (net("a", options={"com.docker.network.bridge.name": "x" * 16}), BadParameterError, f"'{'x' * 16}'"),
        (net("a", options={BRIDGE + "host_binding_ipv4": "lo"}), BadParameterError, r"value: lo \(nil ip\)"),
        (net("a", options={BRIDGE + "enable_icc": "yes"}), BadParameterError, "enable_icc value: yes"),
        (net("a", options={PREFIX: "a/b"}), BadParameterError, "'a/b'"),
        (net("a", options={PREFIX: "x" * 13}), BadParameterError, f"'{'x' * 13}'"),
    ],
)
@in_loop
async def test_networks_that_cannot_be(
    tmp_path: Path, request_: NetworkCreate, kind: type[Exception], words: str
) -> None:
    service = await opened(tmp_path)
    await service.networks.create(net("taken", "10.7.0.0/16"))
    with pytest.raises(kind, match=words):
        await service.networks.create(request_)
    assert len(service.networks.list()) == 4


@in_loop
async def test_a_network_that_the_spawner_refuses_is_not_kept(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    service.spawner.refuses = EngineError("no")
    with pytest.raises(EngineError, match="no"):
        await service.networks.create(net("app"))
    assert len(service.networks.list()) == len(list((tmp_path / "networks").iterdir())) == 3


@in_loop
async def test_ipv6_networks_get_a_subnet_of_their_own(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    for name in ("a", "b"):
        await service.networks.create(net(name, enable_ipv6=True))
    subnets = [spec.subnet6 for spec in service.spawner.bridges.values()]
    assert len(set(subnets)) == 2
    pools = [IpamPool(subnet="fd05::/64"), IpamPool(subnet="10.5.0.0/24")]
    await service.networks.create(NetworkCreate(name="c", enable_ipv6=True, ipam=Ipam(config=pools)))
    shown = service.networks.inspect("c").ipam.config
    assert [pool.subnet for pool in shown] == ["10.5.0.0/24", "fd05::/64"]
    record = await run(service, "web", network_mode="a")
    settings = record.networks["a"]
    assert settings.global_ipv6_address.startswith("fd")
    assert settings.global_ipv6_prefix_len == 64


@in_loop
async def test_a_container_gets_addresses_names_and_gives_them_back(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    id = await service.networks.create(net("app", "10.5.0.0/24"))  # noqa: A001
    record = await run(service, "web", network_mode="app", networking_config=on("app", aliases=["www"]))
    settings = record.networks["app"]
    assert (settings.ip_address, settings.ip_prefix_len, settings.gateway) == ("10.5.0.2", 24, "10.5.0.1")
    assert (settings.network_id, settings.mac_address) == (id, "02:42:0a:05:00:02")
    assert settings.dns_names == ["web", "www", record.id[:12]]
    start = service.spawner.held[record.id]
    assert start.endpoints == (
        Endpoint(network=id, interface="eth0", address="10.5.0.2", mac="02:42:0a:05:00:02"),
    )
    shown = service.networks.inspect("app").containers[record.id]
    assert (shown.name, shown.ipv4_address) == ("web", "10.5.0.2/24")
    hosts = (service.containers.directory(record.id) / "hosts").read_text()
    assert f"10.5.0.2\t{record.id[:12]}\n" in hosts
    resolv = (service.containers.directory(record.id) / "resolv.conf").read_text()
    assert resolv.startswith("nameserver 127.0.0.11\n")
    with pytest.raises(ForbiddenError, match=f"network app id {id} has active endpoints"):
        await service.networks.remove("app")
    await stop(service, "web")
    assert service.networks.inspect("app").containers == {}
    assert told(service)[-2:] == [("connect", "app"), ("disconnect", "app")]
    actions = [event.action for event in service.events._kept]
    assert actions[-4:] == ["kill", "disconnect", "die", "stop"]
    await run(service, "other", network_mode="app")
    await service.containers.start("web")
    assert service.containers.get("web").networks["app"].ip_address == "10.5.0.2"  # its own again


@in_loop
async def test_neighbours_are_found_by_all_their_names_on_shared_networks_only(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    for number, name in enumerate(("one", "two")):
        await service.networks.create(net(name, f"10.{number + 5}.0.0/24"))
    db = await run(
        service, "db", network_mode="one", hostname="dbhost", networking_config=on("one", aliases=["Store"])
    )
    twin = await run(service, "db2", network_mode="one", networking_config=on("one", aliases=["store"]))
    web = await run(service, "web", networking_config=on("one", "two", links=["db:sql"]), network_mode="one")
    far = await run(service, "far", network_mode="two")
    await run(service, "plain")

    def names(record: Any) -> ContainerNames:
        return ContainerNames(record.id, record.host_config, lambda: service.networks.nets_of(record.id))

    for name in ("db", "dbhost", db.id[:12], "db.one", "sql"):
        assert names(web).addresses(name) == ["10.5.0.2"], name
    assert sorted(names(web).addresses("store") or ()) == ["10.5.0.2", "10.5.0.3"]
    assert names(web).addresses("far") == ["10.6.0.3"]
    assert names(db).addresses("far") is None
    assert names(far).addresses("db") is None
    assert names(far).addresses("sql") is None
    assert names(web).addresses("plain") is None
    assert names(db).name_of("10.5.0.3") == "db2.one"
    assert names(db).name_of("10.6.0.2") is None
    await stop(service, "db2")
    assert names(web).addresses("store") == ["10.5.0.2"]
    assert twin.networks["one"].ip_address == "10.5.0.3"


@in_loop
async def test_the_way_out_is_the_first_network_by_name_that_has_one(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    await service.networks.create(net("a", internal=True))
    for name in ("b", "c"):
        await service.networks.create(net(name))
    record = await run(
        service, "web", network_mode="c", networking_config=on("a", "b", "c"),
        port_bindings={"80/tcp": [PortBinding(host_port="8080")]},
    )  # fmt: skip
    start = service.spawner.held[record.id]
    ways = {one.network: (one.interface, one.default_route) for one in start.endpoints}
    ids = {view.name: view.id for view in service.networks.list()}
    assert ways == {ids["c"]: ("eth0", False), ids["a"]: ("eth1", False), ids["b"]: ("eth2", True)}
    assert start.ports == (Port(host=8080, container=80),)
    assert record.networks["a"].gateway == ""


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"networking_config": on("bridge", ipam_config=IpamConfig(ipv4_address="172.17.0.9"))},
         "user specified IP address is supported on user defined networks only"),
        ({"networking_config": on("free", ipam_config=IpamConfig(ipv4_address="172.18.0.9"))},
         "user specified IP address is supported only when connecting to networks with user configured"),
        ({"networking_config": on("app", ipam_config=IpamConfig(ipv4_address="10.6.0.9"))},
         "no configured subnet or ip-range contain the IP address 10.6.0.9"),
        ({"networking_config": on("app", ipam_config=IpamConfig(link_local_ips=["10.5.0.9"]))},
         "invalid link-local IP address: 10.5.0.9"),
        ({"networking_config": on("app", ipam_config=IpamConfig(ipv4_address="somewhere"))},
         "invalid IPv4 address: somewhere"),
        ({"networking_config": on("app", ipam_config=IpamConfig(ipv4_address="fd00::9"))},
         "invalid IPv4 address: fd00::9"),
        ({"networking_config": on("app", ipam_config=IpamConfig(ipv6_address="10.5.0.9"))},
         "invalid IPv6 address: 10.5.0.9"),
        ({"networking_config": on("app", ipam_config=IpamConfig(ipv6_address="::ffff:10.5.0.9"))},
         "invalid IPv6 address: ::ffff:10.5.0.9"),
        ({"networking_config": on("app", ipam_config=IpamConfig(ipv6_address="::"))},
         "invalid IPv6 address: ::"),
        ({"network_mode": "container"}, "invalid container format container:<name"),
        ({"network_mode": "container:"}, "invalid container format container:<name"),
        ({"networking_config": on("bridge", aliases=["www"])},
         "network-scoped alias is supported only for containers in user defined networks"),
        ({"extra_hosts": ["nonsense"]}, "bad format for add-host"),
        ({"port_bindings": {"80/icmp": None}}, "invalid port specification"),
        ({"port_bindings": {"80/tcp": [PortBinding(host_port="99999")]}}, 'specification: "99999"'),
    ],
)  # fmt: skip
@in_loop
async def test_containers_whose_networks_cannot_be(
    tmp_path: Path, fields: dict[str, Any], words: str
) -> None:
    service = await opened(tmp_path)
    await service.networks.create(net("app", "10.5.0.0/24"))
    await service.networks.create(net("free"))
    with pytest.raises(EngineError, match=words):
        await create(service, "web", **fields)
    assert service.containers.list(all=True) == []


@in_loop
async def test_a_network_may_come_after_the_container_that_is_to_be_on_it(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    made = await create(service, "web", network_mode="later")
    with pytest.raises(NotFoundError, match="network later not found"):
        await service.containers.start(made)
    first = await service.networks.create(net("later"))
    await service.containers.start(made)
    assert service.containers.get(made).networks["later"].network_id == first
    await stop(service, "web")
    await service.networks.remove("later")
    second = await service.networks.create(net("later"))
    await service.containers.start(made)
    assert service.containers.get(made).networks["later"].network_id == second


@in_loop
async def test_fixed_addresses_are_kept_and_refused_when_taken(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    await service.networks.create(net("app", "10.5.0.0/24"))
    fixed = {
        "network_mode": "app",
        "networking_config": on("app", ipam_config=IpamConfig(ipv4_address="10.5.0.77")),
    }
    record = await run(service, "web", mac_address="02:11:22:33:44:55", **fixed)
    assert record.networks["app"].ip_address == "10.5.0.77"
    assert record.networks["app"].mac_address == "02:11:22:33:44:55"
    with pytest.raises(EngineError, match="Address already in use"):
        await run(service, "other", **fixed)
    assert service.networks.nets_of(service.containers.get("other").id) == []
    rest = at_rest(record.networks["app"])
    assert (rest.ip_address, rest.mac_address) == ("", "02:11:22:33:44:55")
    assert rest.ipam_config == IpamConfig(ipv4_address="10.5.0.77")


@in_loop
async def test_an_ipv6_subnet_without_ipv6_is_shown_and_used_by_nobody(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    pools = [IpamPool(subnet="fd00:7::/64"), IpamPool(subnet="10.7.0.0/24")]
    await service.networks.create(NetworkCreate(name="app", ipam=Ipam(config=pools)))
    (view,) = [one for one in service.networks.list() if one.name == "app"]
    assert [pool.subnet for pool in view.ipam.config or []] == ["10.7.0.0/24", "fd00:7::/64"]
    asked = IpamConfig(ipv6_address="fd00:7::10")
    record = await run(service, "web", network_mode="app", networking_config=on("app", ipam_config=asked))
    assert (record.networks["app"].ip_address, record.networks["app"].global_ipv6_address) == ("10.7.0.2", "")
    elsewhere = on("app", ipam_config=IpamConfig(ipv6_address="fd00:8::10"))
    with pytest.raises(EngineError, match="no configured subnet or ip-range contain the IP address"):
        await create(service, "other", networking_config=elsewhere)


@in_loop
async def test_a_running_container_is_connected_and_disconnected(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    await service.networks.create(net("app", "10.5.0.0/24"))
    record = await run(service, "web")
    await service.networks.connect("app", "web", EndpointSettings(aliases=["www"]))
    link = service.spawner.links[-1]
    assert (link.connect, link.endpoint.address, link.endpoint.default_route) == (True, "10.5.0.2", True)
    settings = service.containers.get("web").networks["app"]
    assert (settings.ip_address, settings.aliases) == ("10.5.0.2", ["www"])
    directory = service.containers.directory(record.id)
    assert "10.5.0.2\t" in (directory / "hosts").read_text()
    assert "127.0.0.11" in (directory / "resolv.conf").read_text()
    with pytest.raises(ForbiddenError, match="endpoint with name web already exists in network app"):
        await service.networks.connect("app", "web")
    await service.networks.disconnect("app", "web")
    back = service.spawner.links[-1]
    assert (back.connect, back.endpoint.default_route) == (True, True)  # the bridge is the way out again
    assert "10.5.0.2\t" not in (directory / "hosts").read_text()
    assert list(service.containers.get("web").networks) == ["bridge"]
    with pytest.raises(ForbiddenError, match=f"container {record.id} is not connected to network app"):
        await service.networks.disconnect("app", "web")
    assert told(service)[-2:] == [("connect", "app"), ("disconnect", "app")]


@in_loop
async def test_a_stopped_container_that_is_to_be_on_a_network_may_be_connected_again(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    await service.networks.create(net("app"))
    made = await create(service, "web")
    for alias in ("www", "other"):
        await service.networks.connect("app", "web", EndpointSettings(aliases=[alias]))
    assert service.containers.get(made).networks["app"].aliases == ["www"]


@in_loop
async def test_ports_are_published_as_soon_as_a_network_leads_out(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    await service.networks.create(net("inner", internal=True))
    await service.networks.create(net("app"))
    record = await run(
        service, "web", network_mode="inner", port_bindings={"80/tcp": [PortBinding(host_port="8080")]}
    )
    assert service.spawner.held[record.id].ports == ()
    await service.networks.connect("app", "web")
    assert service.spawner.links[-1].ports == (Port(host=8080, container=80),)
    assert service.containers.get("web").state.ports == (Port(host=8080, container=80),)
    await service.networks.disconnect("app", "web")
    assert service.spawner.links[-1].ports == ()
    assert service.containers.get("web").state.ports == ()


@in_loop
async def test_a_network_that_is_gone_is_left_by_force(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    made = {name: await service.networks.create(net(name)) for name in ("one", "two")}
    await create(service, "web", network_mode="one")
    await service.networks.connect("two", "web")
    for name in made:
        await service.networks.remove(name)
    with pytest.raises(NotFoundError, match="network one not found"):
        await service.networks.disconnect("one", "web")
    await service.networks.disconnect("one", "web", force=True)
    await service.networks.disconnect(made["two"], "web", force=True)
    assert service.containers.get("web").networks == {}
    with pytest.raises(NotFoundError, match="network one not found"):
        await service.networks.disconnect("one", "web", force=True)


@in_loop
async def test_the_default_networks_have_no_aliases_whatever_else_is_wrong(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    await run(service, "web", network_mode="none")
    for name in ("bridge", "host", "none"):
        with pytest.raises(BadParameterError, match="network-scoped alias is supported only"):
            await service.networks.connect(name, "web", EndpointSettings(aliases=["www"]))


@in_loop
async def test_a_connection_that_fails_leaves_nothing(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    await service.networks.create(net("app"))
    await run(service, "web")
    service.spawner.refuses = EngineError("no")
    with pytest.raises(EngineError, match="no"):
        await service.networks.connect("app", "web")
    assert service.networks.inspect("app").containers == {}
    assert list(service.containers.get("web").networks) == ["bridge"]


@in_loop
async def test_a_container_that_does_not_run_is_connected_for_its_next_start(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    await service.networks.create(net("app", "10.5.0.0/24"))
    await create(service, "web", network_mode="none")
    await service.networks.disconnect("none", "web")
    await service.networks.connect("app", "web")
    await service.containers.start("web")
    record = service.containers.get("web")
    assert list(record.networks) == ["app"]
    assert service.spawner.held[record.id].endpoints[0].address == "10.5.0.2"


@in_loop
async def test_who_is_to_be_alone_is_not_connected(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    await service.networks.create(net("app", "10.5.0.0/24"))
    lonely = await run(service, "lonely", network_mode="none")
    assert lonely.networks["none"].mac_address == lonely.networks["none"].ip_address == ""
    await create(service, "later", network_mode="none")
    for ref in ("lonely", "later"):
        with pytest.raises(BadParameterError, match=r"private \(none\) mode"):
            await service.networks.connect("app", ref)
        assert list(service.containers.get(ref).networks) == ["none"]


@pytest.mark.parametrize("mode", ["host", "container:first"])
@in_loop
async def test_who_has_no_network_of_its_own_is_not_connected(tmp_path: Path, mode: str) -> None:
    service = await opened(tmp_path)
    await service.networks.create(net("app"))
    await run(service, "first")
    await create(service, "web", network_mode=mode)
    with pytest.raises(BadParameterError, match=r"container (cannot be|sharing network namespace)"):
        await service.networks.connect("app", "web")


@in_loop
async def test_the_next_daemon_takes_up_addresses_and_names(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    await service.networks.create(net("app", "10.5.0.0/24"))
    record = await run(service, "web", network_mode="app")
    again = await opened(tmp_path, service.spawner)
    await again.networks.started(record)
    assert again.networks.inspect("app").containers[record.id].ipv4_address == "10.5.0.2/24"
    other = await run(again, "other", network_mode="app")
    assert other.networks["app"].ip_address == "10.5.0.3"
    assert told(again) == [("connect", "app")]  # the other one's only


@in_loop
async def test_the_next_daemon_plugs_in_what_the_last_one_was_about_to(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    await service.networks.create(net("app", "10.5.0.0/24"))
    await service.networks.create(net("back", "10.6.0.0/24"))
    record = await run(service, "web", network_mode="back")
    seen = {}

    async def die(request: Link) -> Linked:
        seen.update(service.containers.get("web").networks)
        raise EngineError("the spawner is gone")

    service.spawner.link, link = die, service.spawner.link
    with pytest.raises(EngineError, match="is gone"):
        await service.networks.connect("app", "web")
    assert list(seen) == ["back", "app"], "its record says so before it is done"
    assert list(service.containers.get("web").networks) == ["back"]
    assert service.networks.inspect("app").containers == {}
    service.spawner.link = link
    again = await opened(tmp_path, service.spawner)
    await again.networks.started(msgspec.structs.replace(record, networks=seen))
    asked = {one.endpoint.address: one for one in service.spawner.links}
    assert {address: one.endpoint.default_route for address, one in asked.items()} == {
        "10.6.0.2": False,
        "10.5.0.2": True,
    }
    assert all(one.connect for one in asked.values())


@in_loop
async def test_changes_at_the_same_time_do_not_undo_each_other(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    names = ["one", "two", "three", "four"]
    for number, name in enumerate(names):
        await service.networks.create(net(name, f"10.{number}.0.0/24"))
    made = await create(service, "web", network_mode="one")
    await asyncio.gather(
        service.networks.connect("two", "web"),
        service.containers.start(made),
        service.networks.connect("three", "web"),
        service.networks.connect("four", "web"),
        service.networks.disconnect("one", "web"),
    )
    record = service.containers.get("web")
    assert sorted(record.networks) == ["four", "three", "two"]
    assert all(one.ip_address for one in record.networks.values())
    assert service.networks.inspect("one").containers == {}


@in_loop
async def test_a_network_stays_when_its_bridge_cannot_be_removed(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    made = await service.networks.create(net("app"))

    async def fail(id: str) -> None:  # noqa: A002
        assert (tmp_path / "networks" / f"{made}.json").exists(), "whoever comes next removes it again"
        raise EngineError("the spawner is gone")

    service.spawner.network_down = fail
    with pytest.raises(EngineError, match="is gone"):
        await service.networks.remove("app")
    assert service.networks.inspect("app").id == made


@in_loop
async def test_lists_and_prunes_take_dockers_filters(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    for name in ("app", "web", "old"):
        await service.networks.create(net(name, labels={"stage": name}))
    await run(service, "user", network_mode="app")

    def names(**filters: list[str]) -> list[str]:
        return [view.name for view in service.networks.list(filters)]

    assert names(type=["custom"]) == ["app", "web", "old"]
    assert names(name=["^a"]) == ["app"]
    assert names(label=["stage=web"]) == ["web"]
    assert names(driver=["host"]) == ["host"]
    assert names(dangling=["true"]) == ["web", "old"]
    with pytest.raises(BadParameterError, match="invalid filter 'nonsense'"):
        names(nonsense=["x"])
    assert await service.networks.prune({"label!": ["stage=old"]}) == ["web"]
    assert await service.networks.prune() == ["old"]
    assert names(type=["custom"]) == ["app"]


@in_loop
async def test_extra_hosts_links_and_choices_reach_the_files(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    db = await run(service, "db")
    record = await run(
        service, "web", links=["db:sql"], extra_hosts=["up:host-gateway", "v6=[::2]"], dns=["9.9.9.9"],
        dns_search=["example.org"], dns_options=["ndots:2"], domainname="corp", hostname="www",
    )  # fmt: skip
    files = service.networks.files_for(record)
    gateway = service.networks.inspect("bridge").ipam.config[0].gateway
    address = db.networks["bridge"].ip_address
    hosts = files["hosts"].decode().splitlines()
    assert {f"{gateway}\tup", "::2\tv6", f"{address}\tsql {db.id[:12]} db"} <= set(hosts)
    assert hosts[-1] == f"{record.networks['bridge'].ip_address}\twww.corp www"
    assert files["resolv.conf"] == b"nameserver 9.9.9.9\nsearch example.org\noptions ndots:2\n"
    full = await run(service, "full", hostname="www.corp.example")
    assert service.networks.files_for(full)["hosts"].endswith(b"\twww.corp.example www\n")


@in_loop
async def test_ports_are_read_as_docker_does(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    record = await run(
        service, "web", publish_all_ports=True,
        exposed_ports={"80": {}, "80/tcp": {}, "53/UDP": {}, "53/udp": {}},
        port_bindings={"80/tcp": [PortBinding(host_ip="127.0.0.1", host_port="8000-8010"), PortBinding()],
                       "90": None},
    )  # fmt: skip
    assert ports_of(record) == (
        Port(host=8000, host_end=8010, container=80, host_ip="127.0.0.1"),
        Port(host=0, container=80),
        Port(host=0, container=90),
        Port(host=0, container=53, protocol="udp"),
    )
    assert ports_of(record, "10.0.0.1")[1].host_ip == "10.0.0.1"


@in_loop
async def test_links_hold_on_the_network_they_were_made_for(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    for name in ("one", "two"):
        await service.networks.create(net(name))
    await run(service, "db", network_mode="one")
    web = await run(service, "web", network_mode="one", links=["db:sql"])
    for ref in ("db", "web"):
        await service.networks.connect("two", ref)
    names = ContainerNames(web.id, web.host_config, lambda: service.networks.nets_of(web.id))
    assert len(names.addresses("sql") or ()) == 1
    await service.networks.disconnect("one", "db")
    assert names.addresses("sql") is None
    assert names.addresses("db")


@in_loop
async def test_an_old_link_needs_its_container_on_the_network_bridge(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    await service.networks.create(net("app"))
    db = await run(service, "db", network_mode="app")
    web = await create(service, "web", links=["db"])
    with pytest.raises(EngineError, match=f"container {db.id} not attached to default bridge network"):
        await service.containers.start(web)
    await service.networks.connect("bridge", "db")
    await service.containers.start(web)


@in_loop
async def test_old_links_pass_ports_names_and_variables_and_can_be_removed(tmp_path: Path) -> None:
    service = await opened(tmp_path)
    db = await run(service, "db", env=["FOO=1", "PATH=/x"], exposed_ports={"5432/tcp": {}, "53/udp": {}})
    address = db.networks["bridge"].ip_address
    web = await run(service, "web", links=["db:my-sql"])
    told = dict(one.split("=", 1) for one in service.spawner.held[web.id].config.env)
    assert {name: value for name, value in told.items() if name.startswith("MY_SQL")} == {
        "MY_SQL_NAME": "/web/my-sql",
        "MY_SQL_ENV_FOO": "1",
        "MY_SQL_PORT": f"tcp://{address}:5432",
        "MY_SQL_PORT_53_UDP": f"udp://{address}:53",
        "MY_SQL_PORT_53_UDP_ADDR": address,
        "MY_SQL_PORT_53_UDP_PORT": "53",
        "MY_SQL_PORT_53_UDP_PROTO": "udp",
        "MY_SQL_PORT_5432_TCP": f"tcp://{address}:5432",
        "MY_SQL_PORT_5432_TCP_ADDR": address,
        "MY_SQL_PORT_5432_TCP_PORT": "5432",
        "MY_SQL_PORT_5432_TCP_PROTO": "tcp",
    }
    await stop(service, "db")
    await stop(service, "web")
    with pytest.raises(EngineError, match="Cannot link to a non running container: /db AS /web/my-sql"):
        await service.containers.start(web.id)
    for wrong in ("web/other", "nobody/my-sql", "nobody"):
        with pytest.raises(NotFoundError):
            await service.containers.remove(wrong, link=True)
    with pytest.raises(ConflictError, match="cannot remove the default link name"):
        await service.containers.remove("web", link=True)
    await service.containers.remove("web/my-sql", link=True)
    await service.containers.start(web.id)
    assert len(service.containers.list(all=True)) == 2
