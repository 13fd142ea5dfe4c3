from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from runtime.network import subnets

NETWORKS = st.builds(
    lambda number, length: IPv4Network((number, length), strict=False),
    st.integers(int(IPv4Address("10.208.0.0")), int(IPv4Address("10.211.0.0"))),
    st.integers(0, 32),
)


@given(st.lists(NETWORKS, max_size=8))
def test_a_free_subnet_overlaps_no_route_but_the_default(routes: list[IPv4Network]) -> None:
    found = list(subnets.free_subnets(routes))
    assert not [s for s in found for route in routes if route.prefixlen and s.overlaps(route)]
    assert all(s.subnet_of(subnets.RANGE) and s.prefixlen == 24 for s in found)
    if not [route for route in routes if route.prefixlen and route.overlaps(subnets.RANGE)]:
        assert len(found) == 256


def test_hosts_leave_out_network_gateway_and_broadcast() -> None:
    subnet = IPv4Network("10.209.7.0/24")
    hosts = list(subnets.hosts(subnet))
    assert (hosts[0], hosts[-1], len(hosts)) == (IPv4Address("10.209.7.2"), IPv4Address("10.209.7.254"), 253)
    assert subnets.gateway(subnet) not in hosts


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_hardware_addresses_are_local_unicast_and_unique(one: int, two: int) -> None:
    first, second = subnets.mac(IPv4Address(one)), subnets.mac(IPv4Address(two))
    assert int(first[:2], 16) & 3 == 2
    assert (first == second) == (one == two)
