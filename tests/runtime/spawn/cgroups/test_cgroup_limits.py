from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from runtime.spawn.cgroups import CgroupError, IoLimit, Limits, v1, v2

FULL = Limits(
    cpu_quota_us=150_000,
    cpu_weight=200,
    cpuset_cpus="0-1",
    memory_max=1 << 20,
    swap_max=4096,
    pids_max=64,
    io=(IoLimit(major=8, minor=0, read_bps=1000, write_iops=5),),
)


def test_v2_files() -> None:
    assert v2.limit_writes(FULL) == [
        ("cpu.max", "150000 100000"),
        ("cpu.weight", "200"),
        ("cpuset.cpus", "0-1"),
        ("memory.max", "1048576"),
        ("memory.swap.max", "4096"),
        ("pids.max", "64"),
        ("io.max", "8:0 rbps=1000 wiops=5"),
    ]


def test_v1_files() -> None:
    assert v1.limit_writes("cpu", FULL) == [
        ("cpu.cfs_period_us", "100000"),
        ("cpu.cfs_quota_us", "150000"),
        ("cpu.shares", "2048"),
    ]
    assert v1.limit_writes("memory", FULL)[1] == ("memory.memsw.limit_in_bytes", str((1 << 20) + 4096))
    assert v1.limit_writes("blkio", FULL)[0] == ("blkio.throttle.read_bps_device", "8:0 1000")
    assert v1.limit_writes("cpuset", FULL) == [("cpuset.cpus", "0-1")]


def test_no_limits_write_nothing() -> None:
    assert v2.limit_writes(Limits()) == []
    assert all(v1.limit_writes(name, Limits()) == [] for name in ("cpu", "memory", "pids", "blkio", "cpuset"))
    assert Limits().controllers() == frozenset()


def test_a_period_may_come_alone() -> None:
    limits = Limits(cpu_period_us=50_000)
    assert v1.limit_writes("cpu", limits) == [("cpu.cfs_period_us", "50000")]
    assert v2.limit_writes(limits) == [("cpu.max", "max 50000")]
    assert limits.controllers() == {"cpu"}


@given(st.integers(1, 10_000))
def test_every_weight_is_a_valid_share(weight: int) -> None:
    shares = int(v1.limit_writes("cpu", Limits(cpu_weight=weight))[0][1])
    assert 2 <= shares <= 262_144


def test_shares_are_written_as_they_are_and_no_limit_as_the_kernel_says_it() -> None:
    assert v1.limit_writes("cpu", Limits(cpu_weight=33, cpu_shares=333)) == [("cpu.shares", "333")]
    assert v1.limit_writes("pids", Limits(pids_max=-1)) == [("pids.max", "max")]
    assert v2.limit_writes(Limits(pids_max=-1)) == [("pids.max", "max")]


def test_error_names_operation_path_errno_and_advice() -> None:
    text = str(CgroupError("make cgroup", "/sys/fs/cgroup/x", 13))
    assert text.startswith("make cgroup /sys/fs/cgroup/x: EACCES (permission denied); ")
