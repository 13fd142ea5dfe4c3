"""Convert Docker's resource options to cgroup limits; reject invalid ones."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Literal

import msgspec

from runtime.engine.errors import BadParameterError
from runtime.engine.service.host.facts import HostFacts
from runtime.engine.service.model.request import Resources, ThrottleDevice
from runtime.spawn.cgroups import IoLimit, Limits
from runtime.spawn.errnos import errno_text

_MIB = 1 << 20
_LEAST_MEMORY = 6 * _MIB
_PERIOD_US = 100_000
_LEAST_SHARES, _MOST_SHARES = 2, 1 << 18
_SHARES_A_WEIGHT = 10.24
"""Shares of v1 per unit of weight: 1024 shares are the default weight, 100."""

Field = Literal["read_bps", "write_bps", "read_iops", "write_iops"]


def check_resources(asked: Resources, facts: HostFacts) -> list[str]:
    """Raise BadParameterError for invalid limits, in docker's words; return docker's warnings."""
    _check_memory(asked)
    _check_cpu(asked, facts.cpus)
    _check_shares(asked.cpu_shares or 0, facts.cgroup_version)
    for text, online, what in (
        (asked.cpuset_cpus, facts.cpu_list, "cpus"),
        (asked.cpuset_mems, facts.node_list, "mems"),
    ):
        _check_set(text, online, what)
    swappiness = asked.memory_swappiness
    if swappiness is not None and not -1 <= swappiness <= 100:
        raise BadParameterError(f"Invalid value: {swappiness}, valid memory swappiness range is 0-100")
    weight = asked.blkio_weight or 0
    if weight and not 10 <= weight <= 1000:
        raise BadParameterError("Range of blkio weight is from 10 to 1000")
    return _warnings(asked, facts)


def limits_of(asked: Resources, facts: HostFacts) -> Limits:
    """Return the limits for a cgroup. Raises BadParameterError for a path that is not a block device."""
    quota, period = _quota(asked)
    memory = asked.memory or None
    return Limits(
        cpu_quota_us=quota,
        cpu_period_us=period,
        cpu_weight=_weight(asked.cpu_shares),
        cpu_shares=asked.cpu_shares or None,
        cpuset_cpus=asked.cpuset_cpus or None,
        cpuset_mems=asked.cpuset_mems or None,
        memory_max=memory,
        swap_max=_swap(asked) if facts.swap_limit else None,
        memory_low=asked.memory_reservation or None,
        swappiness=_swappiness(asked, facts),
        oom_kill_disable=bool(asked.oom_kill_disable) and facts.cgroup_version == 1,
        pids_max=None if asked.pids_limit is None else max(-1, asked.pids_limit) or -1,
        io=_io_limits(asked),
        io_weight=asked.blkio_weight or None,
    )


def merge_resources(kept: Resources, asked: Resources) -> dict[str, object]:
    """Return the fields that an update changes. Raises BadParameterError where memory and swap collide."""
    changes: dict[str, object] = {}
    for name in Resources.__struct_fields__:
        value = getattr(asked, name)
        if value not in (None, 0, "", []) and value != getattr(kept, name):
            changes[name] = value
    if asked.pids_limit is not None:
        changes["pids_limit"] = max(0, asked.pids_limit)  # 0: a limit there was is taken away
    _check_bandwidth(kept, changes)
    memory, swap = asked.memory or kept.memory or 0, asked.memory_swap or kept.memory_swap or 0
    if memory and 0 < swap < memory:
        raise BadParameterError(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the "
            "same time"
        )
    return changes


def _check_bandwidth(kept: Resources, changes: dict[str, object]) -> None:
    """Refuse a mix of the two ways to limit CPUs, which cannot be changed later."""
    for field, name in (("cpu_period", "CPU Period"), ("cpu_quota", "CPU Quota")):
        if "nano_cpus" in changes and getattr(kept, field):
            raise BadParameterError(
                f"Conflicting options: Nano CPUs cannot be updated as {name} has already been set"
            )
        if field in changes and kept.nano_cpus:
            raise BadParameterError(
                f"Conflicting options: {name} cannot be updated as NanoCPUs has already been set"
            )


def _check_memory(asked: Resources) -> None:
    memory, swap = asked.memory or 0, asked.memory_swap or 0
    reservation = asked.memory_reservation or 0
    if memory < 0 or 0 < memory < _LEAST_MEMORY:
        raise BadParameterError("Minimum memory limit allowed is 6MB")
    if swap > 0 and not memory:
        raise BadParameterError(
            "You should always set the Memory limit when using Memoryswap limit, see usage"
        )
    if 0 < swap < memory:
        raise BadParameterError("Minimum memoryswap limit should be larger than memory limit, see usage")
    if 0 < reservation < _LEAST_MEMORY:
        raise BadParameterError("Minimum memory reservation allowed is 6MB")
    if memory and reservation > memory:
        raise BadParameterError(
            "Minimum memory limit can not be less than memory reservation limit, see usage"
        )


def _check_cpu(asked: Resources, cpus: int) -> None:
    nano, period, quota = asked.nano_cpus or 0, asked.cpu_period or 0, asked.cpu_quota or 0
    if nano and period:
        raise BadParameterError("Conflicting options: Nano CPUs and CPU Period cannot both be set.")
    if nano and quota:
        raise BadParameterError("Conflicting options: Nano CPUs and CPU Quota cannot both be set.")
    if nano < 0 or nano > cpus * 1_000_000_000:
        raise BadParameterError(
            f"Range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        )
    if period and not 1000 <= period <= 1_000_000:
        raise BadParameterError(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"
        )
    if 0 < quota < 1000:
        raise BadParameterError("CPU cfs quota can not be less than 1ms (i.e. 1000)")
    if asked.cpu_realtime_period or asked.cpu_realtime_runtime:
        raise BadParameterError("Your kernel does not support CPU real-time scheduler")


def _check_shares(shares: int, cgroup_version: int) -> None:
    """Refuse CPU shares that v1 would change; on v2 the smallest weight stands for one share."""
    if shares < 0:
        raise BadParameterError("shares: invalid argument; write 0 or more")
    if shares == 1 and cgroup_version == 1:
        raise BadParameterError(f"the minimum allowed cpu-shares is {_LEAST_SHARES}")
    if shares > _MOST_SHARES:
        raise BadParameterError(f"the maximum allowed cpu-shares is {_MOST_SHARES}")


def _check_set(text: str, online: str, what: str) -> None:
    if not text:
        return
    try:
        wanted = parse_set(text)
    except ValueError:
        raise BadParameterError(f"Invalid value {text} for cpuset {what}") from None
    if not wanted <= parse_set(online):
        shown = "CPUs" if what == "cpus" else "memory nodes"
        raise BadParameterError(
            f"Requested {shown} are not available - requested {text}, available: {online}"
        )


def parse_set(text: str) -> set[int]:
    """Return the numbers of a list as the kernel writes it, `0-2,5`. Raises ValueError."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, dash, last = part.partition("-")
        found.update(range(int(first), int(last if dash else first) + 1))
    return found


def _warnings(asked: Resources, facts: HostFacts) -> list[str]:
    warnings = []
    if asked.memory and not facts.swap_limit and (asked.memory_swap or 0) != -1:
        warnings.append(
            "Your kernel does not support swap limit capabilities or the cgroup is not mounted. "
            "Memory limited without swap."
        )
    if facts.cgroup_version == 2 and asked.memory_swappiness not in (None, -1):
        warnings.append(
            "Your kernel does not support memory swappiness capabilities, memory swappiness discarded."
        )
    if facts.cgroup_version == 2 and asked.oom_kill_disable:
        warnings.append("Your kernel does not support OomKillDisable. OomKillDisable discarded.")
    if asked.oom_kill_disable and not asked.memory and facts.cgroup_version == 1:
        warnings.append(
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the "
            "system running out of resources."
        )
    return warnings


def _quota(asked: Resources) -> tuple[int | None, int | None]:
    if asked.nano_cpus:
        return max(1000, asked.nano_cpus * _PERIOD_US // 1_000_000_000), _PERIOD_US
    return (asked.cpu_quota or None), (asked.cpu_period or None)


def _weight(shares: int | None) -> int | None:
    return min(10_000, max(1, round(shares / _SHARES_A_WEIGHT))) if shares else None


def _swap(asked: Resources) -> int | None:
    """Docker's memory-swap is the sum of memory and swap; unset, swap is as large as memory."""
    if not asked.memory:
        return None
    swap = asked.memory_swap or 0
    if swap < 0:
        return -1
    return swap - asked.memory if swap else asked.memory


def _swappiness(asked: Resources, facts: HostFacts) -> int | None:
    value = asked.memory_swappiness
    return value if value is not None and value >= 0 and facts.cgroup_version == 1 else None


def _io_limits(asked: Resources) -> tuple[IoLimit, ...]:
    found: dict[tuple[int, int], IoLimit] = {}
    lists: tuple[tuple[Field, list[ThrottleDevice] | None], ...] = (
        ("read_bps", asked.blkio_device_read_bps),
        ("write_bps", asked.blkio_device_write_bps),
        ("read_iops", asked.blkio_device_read_iops),
        ("write_iops", asked.blkio_device_write_iops),
    )
    for field, devices in lists:
        for device in devices or ():
            number = _block_device(device.path)
            limit = found.get(number) or IoLimit(major=number[0], minor=number[1])
            found[number] = msgspec.structs.replace(limit, **{field: device.rate})
    return tuple(found.values())


def _block_device(path: str) -> tuple[int, int]:
    try:
        info = Path(path).stat()
    except OSError as error:
        raise BadParameterError(
            f"limit block device {path}: {errno_text(error)}; name a device node"
        ) from error
    if not stat.S_ISBLK(info.st_mode):
        raise BadParameterError(f"limit block device {path}: it is not a block device; name one, see lsblk")
    return os.major(info.st_rdev), os.minor(info.st_rdev)
