"""What a start pays for its cgroup and its network, from the pools and without."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from runtime.network.modes import NetworkModes
from runtime.spawn.cgroups import Cgroup, CgroupManager, Limits

pytestmark = [pytest.mark.micro, pytest.mark.root, pytest.mark.network]

LIMITS = Limits(memory_max=256 << 20, pids_max=64, cpu_quota_us=200_000)


@pytest.fixture
def cgroups() -> Iterator[CgroupManager]:
    manager = CgroupManager("nnmicro", pool_size=1)
    yield manager
    manager.close()


@pytest.mark.parametrize("pooled", [True, False])
def test_cgroup(benchmark: BenchmarkFixture, cgroups: CgroupManager, pooled: bool) -> None:
    made: list[Cgroup] = []

    def before() -> None:
        while made:
            made.pop().remove()
        if pooled:
            cgroups.refill(["one"])

    benchmark.pedantic(lambda: made.append(cgroups.create("one", LIMITS)), setup=before, rounds=200)
    made.pop().remove()


@pytest.fixture
def networks() -> Iterator[NetworkModes]:
    manager = NetworkModes(pool_size=1)
    yield manager
    manager.close()


@pytest.mark.parametrize("mode", ["none", "bridge", "nat"])
def test_attach(benchmark: BenchmarkFixture, networks: NetworkModes, mode: str) -> None:
    networks.refill(mode)
    taken = []

    def before() -> None:
        while taken:
            networks.detach(taken.pop())
        networks.refill(mode)

    benchmark.pedantic(lambda: taken.append(networks.attach(mode)), setup=before, rounds=100)


@pytest.mark.parametrize("mode", ["none", "bridge", "nat"])
def test_refill_by_one(benchmark: BenchmarkFixture, networks: NetworkModes, mode: str) -> None:
    networks.refill(mode)
    benchmark.pedantic(
        lambda: networks.refill(mode), setup=lambda: networks.detach(networks.attach(mode)), rounds=50
    )
