from __future__ import annotations

import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.network.errors import NetworkError
from runtime.network.ipam import (
    AddressAllocator,
    IpamError,
    PoolOverlapError,
    check_foreign,
    check_overlap,
    choose_subnet,
    choose_subnet6,
    hardware_address,
    parse_subnet,
)

ROUTES = st.builds(
    lambda number, length: IPv4Network((number, length), strict=False),
    st.one_of(st.integers(int(ip_address("172.16.0.0")), int(ip_address("172.32.0.0"))),
              st.integers(int(ip_address("192.167.0.0")), int(ip_address("192.169.0.0")))),
    st.integers(8, 32),
)  # fmt: skip


@given(st.lists(ROUTES, max_size=20))
def test_a_chosen_subnet_overlaps_nothing(routes: list[IPv4Network]) -> None:
    try:
        subnet = choose_subnet([*routes, IPv4Network("0.0.0.0/0")])
    except NetworkError:
        assert sum(route.num_addresses for route in routes) > 2**16
    else:
        assert not any(subnet.overlaps(route) for route in routes)


def test_the_first_networks_get_the_subnets_of_docker() -> None:
    first = choose_subnet([])
    assert [str(first), str(choose_subnet([first]))] == ["172.17.0.0/16", "172.18.0.0/16"]
    everything = [IPv4Network("172.16.0.0/12"), IPv4Network("192.168.0.0/16")]
    with pytest.raises(NetworkError, match="could not find an available, non-overlapping IPv4 address pool"):
        choose_subnet(everything)


def test_ipv6_subnets_are_unique_local_and_apart() -> None:
    first = choose_subnet6("a", [])
    second = choose_subnet6("a", [first])
    assert first.prefixlen == second.prefixlen == 64
    assert first.subnet_of(IPv6Network("fd00::/8"))
    assert not first.overlaps(second)
    assert choose_subnet6("b", []) != first


@pytest.mark.parametrize("text", ["10.0.0.0", "10.0.0.1/24", "x/8", "10.0.0.0/33", ""])
def test_what_is_not_a_subnet_is_refused(text: str) -> None:
    with pytest.raises(IpamError, match="invalid subnet"):
        parse_subnet(text)


def test_overlapping_pools_are_refused_in_dockers_words() -> None:
    with pytest.raises(PoolOverlapError, match="Pool overlaps with other one on this address space"):
        check_overlap(ip_network("10.1.0.0/16"), [ip_network("fd00::/8"), ip_network("10.0.0.0/8")])


@pytest.mark.parametrize("subnet", ["192.0.2.0/24", "127.0.0.0/8", "0.0.0.0/0", "fd00::/64"])
def test_a_subnet_does_not_take_the_hosts_own_addresses(subnet: str) -> None:
    own = [ip_address(text) for text in ("127.0.0.1", "192.0.2.2", "fd00::2")]
    with pytest.raises(PoolOverlapError, match=re.escape(subnet)):
        check_foreign(ip_network(subnet), own)
    check_foreign(ip_network("192.0.3.0/24"), own)
    with pytest.raises(IpamError, match=r"224\.1\.0\.0/16"):
        check_foreign(ip_network("224.1.0.0/16"), [])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"gateway": "10.2.0.1"}, "invalid gateway"),
        ({"ip_range": "10.2.0.0/24"}, "invalid ip-range"),
        ({"auxiliary": {"a": "10.2.0.9"}}, "invalid auxiliary address"),
    ],
)
def test_what_lies_outside_the_subnet_is_refused(options: dict[str, str], words: str) -> None:
    with pytest.raises(IpamError, match=words):
        AddressAllocator("10.1.0.0/24", **options)  # type: ignore[arg-type]


def test_range_gateway_and_auxiliary_addresses_bound_what_is_given() -> None:
    pool = AddressAllocator("10.1.0.0/24", ip_range="10.1.0.128/30", auxiliary={"router": "10.1.0.129"})
    assert str(pool.gateway) == "10.1.0.128"
    assert [pool.take("a"), pool.take("b")] == ["10.1.0.130", "10.1.0.131"]
    with pytest.raises(NetworkError, match="no available IPv4 addresses"):
        pool.take("c")
    assert pool.take("c", "10.1.0.7") == "10.1.0.7"
    with pytest.raises(NetworkError, match="Address already in use"):
        pool.take("d", "10.1.0.129")
    with pytest.raises(IpamError, match="no configured subnet"):
        pool.take("d", "10.1.1.7")


def test_a_freed_address_rests_but_its_last_owner_gets_it_back() -> None:
    pool = AddressAllocator("10.1.0.0/24")
    first = pool.take("a")
    pool.free("a")
    assert pool.take("b") != first
    assert pool.take("a", preferred=first) == first
    assert pool.take("c", preferred=first) not in (first, "")


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_hardware_addresses_are_local_unicast_and_follow_the_address(one: int, two: int) -> None:
    first, second = (hardware_address(str(ip_address(number)), "") for number in (one, two))
    assert int(first[:2], 16) & 3 == 2
    assert (first == second) == (one == two)


class PoolMachine(RuleBasedStateMachine):
    """A small subnet, its model a dict."""

    def __init__(self) -> None:
        super().__init__()
        self.pool = AddressAllocator("10.1.0.0/28", auxiliary={"x": "10.1.0.5"})
        self.model: dict[str, str] = {}

    @rule(owner=st.sampled_from("abcdefghijklmnop"))
    def take(self, owner: str) -> None:
        if owner in self.model:
            self.free(owner)
        try:
            self.model[owner] = self.pool.take(owner)
        except NetworkError:
            assert len(self.model) == 12

    @precondition(lambda self: self.model)
    @rule(owner=st.sampled_from("abcdefghijklmnop"))
    def free(self, owner: str) -> None:
        self.pool.free(owner)
        self.model.pop(owner, None)

    @rule(owner=st.sampled_from("qr"), number=st.integers(0, 15))
    def take_fixed(self, owner: str, number: int) -> None:
        address = f"10.1.0.{number}"
        try:
            taken = self.pool.take(owner, address)
        except NetworkError:
            assert address in self.model.values() or number in (1, 5)
        else:
            assert taken == address
        self.pool.free(owner)

    @invariant()
    def nobody_shares(self) -> None:
        assert len(set(self.model.values())) == len(self.model)
        assert not set(self.model.values()) & {"10.1.0.0", "10.1.0.1", "10.1.0.5", "10.1.0.15"}


TestPoolMachine = PoolMachine.TestCase
