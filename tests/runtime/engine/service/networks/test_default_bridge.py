"""The network bridge as the daemon is told to have it, from one start to the next."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from runtime.engine.errors import EngineError
from runtime.engine.service.networks.create import renumbered
from runtime.engine.service.networks.default_bridge import bridge_record
from runtime.engine.service.networks.live_network import LiveNetwork, interfaces
from runtime.engine.service.rules.network_record import IpamPool, NetworkRecord
from runtime.engine.service.rules.settings import AddressPool, Settings

MINE: dict[str, Any] = {"bip": "10.90.0.1/16", "fixed_cidr": "10.90.8.0/24"}
POOLS = (AddressPool(base="10.91.0.0/16", size=24),)


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever addresses and routes this host has, these are they."""
    known = [ip_address("127.0.0.1"), ip_address("192.0.2.7")]
    monkeypatch.setattr("runtime.engine.service.networks.default_bridge.read_addresses", lambda: known)
    monkeypatch.setattr("runtime.engine.service.networks.default_bridge.read_routes", list)


def made(settings: Settings = Settings(), old: NetworkRecord | None = None, **more: Any) -> NetworkRecord:  # noqa: B008
    return bridge_record(old, settings, more.pop("others", []), in_use=more.pop("in_use", False))


def subnets(record: NetworkRecord) -> list[str]:
    return [pool.subnet for pool in record.pools]


@pytest.mark.parametrize(
    ("settings", "pools"),
    [
        (Settings(), [IpamPool(subnet="172.17.0.0/16", gateway="172.17.0.1")]),
        (Settings(default_address_pools=POOLS), [IpamPool(subnet="10.91.0.0/24", gateway="10.91.0.1")]),
        (
            Settings(**MINE, default_address_pools=POOLS),
            [IpamPool(subnet="10.90.0.0/16", gateway="10.90.0.1", ip_range="10.90.8.0/24")],
        ),
        (
            Settings(fixed_cidr="10.90.8.1/24", ipv6=True, fixed_cidr_v6="fd00:9::/64"),
            [
                IpamPool(subnet="10.90.8.0/24", gateway="10.90.8.1", ip_range="10.90.8.0/24"),
                IpamPool(subnet="fd00:9::/64", gateway="fd00:9::1"),
            ],
        ),
    ],
)
def test_it_has_the_subnets_that_were_asked_for_and_stays_so(settings: Settings, pools: list[IpamPool]):
    first = made(settings)
    assert list(first.pools) == pools
    assert made(settings, first) is first
    assert renumbered(first, [], [], settings).pools[1:] == first.pools[1:], "IPv6 was asked for"


def test_it_changes_with_the_settings_and_keeps_its_id():
    first = made()
    second = made(Settings(**MINE), first)
    assert (second.id, subnets(second), second.configured) == (first.id, ["10.90.0.0/16"], True)
    third = made(Settings(), second)
    assert (subnets(third), third.configured) == (["172.17.0.0/16"], False)
    fourth = made(Settings(default_address_pools=POOLS), third)
    assert subnets(fourth) == ["10.91.0.0/24"]
    assert made(Settings(), fourth) is fourth, "nobody asks for another subnet now"
    apart = made(Settings(icc=False, mtu=1400), fourth)
    assert (apart.spec().icc, apart.spec().mtu, subnets(apart)) == (False, 1400, ["10.91.0.0/24"])


def test_it_stays_as_it_is_while_containers_run():
    first = made()
    assert made(Settings(**MINE), first, in_use=True) is first


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (Settings(bip="192.0.2.1/24"), r"\b192\.0\.2\.7\b"),
        (Settings(bip="10.90.0.0/24"), r"failed to allocate gateway \(10.90.0.0\)"),
        (Settings(bip="10.90.0.1/24", fixed_cidr="10.91.0.0/24"), "doesn't contain ip-range"),
        (Settings(bip="10.92.0.1/24"), "Pool overlaps with other one"),
    ],
)
def test_what_cannot_be_is_refused_at_the_start(settings: Settings, words: str):
    other = NetworkRecord(id="7" * 64, name="other", created="", pools=(IpamPool(subnet="10.92.0.0/16"),))
    with pytest.raises(EngineError, match=f'error creating default "bridge" network: .*{words}'):
        made(settings, others=[other])


def test_interfaces_are_numbered_for_each_prefix():
    prefixes = ("", "lan", "", "lan")
    nets = [
        LiveNetwork(
            NetworkRecord(
                id=str(number) * 64,
                name="n",
                created="",
                options={"com.docker.network.container_iface_prefix": prefix},
            )
        )
        for number, prefix in enumerate(prefixes)
    ]
    assert interfaces(nets) == ["eth0", "lan0", "eth1", "lan1"]
