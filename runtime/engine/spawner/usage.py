"""What a container uses now: its cgroup's accounts and its network namespace's counters."""

from __future__ import annotations

import re
from pathlib import Path

from runtime.engine.errors import ConflictError
from runtime.engine.spawner.held import Held
from runtime.engine.spawner.protocol import Usage
from runtime.spawn.cgroups import Cgroup
from runtime.spawn.cgroups.files import get, get_int, get_table

_UNLIMITED_V1 = 1 << 60
_V1_IO = ("blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_serviced_recursive")
_FIELDS = (0, 1, 2, 3, 8, 9, 10, 11)
"""Of a line of /proc/net/dev: bytes, packets, errors and dropped, received and sent."""


def read_usage(held: Held) -> Usage:
    """Return what `held` uses. Raises ConflictError without a cgroup, CgroupError."""
    group = held.container.group
    if group is None:
        raise ConflictError(f"read the usage of {held.id}: it has no cgroup; start it with one")
    stats = group.stats()
    memory = group.v1_dirs.get("memory", group.v2_dir)
    table = get_table(f"{memory}/memory.stat")
    return Usage(
        cpu_ns=stats.cpu_usage_ns or 0,
        cpu_user_ns=stats.cpu_user_ns or 0,
        cpu_system_ns=stats.cpu_system_ns or 0,
        memory_bytes=stats.memory_bytes or 0,
        memory_max=_memory_max(group),
        memory_inactive_file=table.get("total_inactive_file", table.get("inactive_file", 0)),
        memory_peak=stats.memory_peak,
        pids=stats.pids or 0,
        pids_max=_pids_max(group),
        throttled_periods=stats.throttled_periods or 0,
        periods=stats.cpu_periods or 0,
        throttled_ns=stats.throttled_ns or 0,
        oom_kills=stats.oom_kills or 0,
        interfaces=_interfaces(held.main.pid) if held.main.exited is None else {},
        io=_io(group),
    )


def _memory_max(group: Cgroup) -> int | None:
    if "memory" in group.v1_dirs:
        limit = get_int(f"{group.v1_dirs['memory']}/memory.limit_in_bytes")
        return limit if limit is not None and limit < _UNLIMITED_V1 else None
    return get_int(f"{group.v2_dir}/memory.max")


def _pids_max(group: Cgroup) -> int | None:
    return get_int(f"{group.v1_dirs.get('pids', group.v2_dir)}/pids.max")


def _interfaces(pid: int) -> dict[str, tuple[int, ...]]:
    try:
        lines = Path(f"/proc/{pid}/net/dev").read_text().splitlines()[2:]
    except (FileNotFoundError, ProcessLookupError, OSError):
        return {}
    found = {}
    for line in lines:
        name, _, numbers = line.partition(":")
        counts = numbers.split()
        if name.strip() != "lo":
            found[name.strip()] = tuple(int(counts[place]) for place in _FIELDS)
    return found


def _io(group: Cgroup) -> tuple[tuple[int, int, str, int, int], ...]:
    if "blkio" in group.v1_dirs:
        size, count = (_v1_table(f"{group.v1_dirs['blkio']}/{name}") for name in _V1_IO)
        return tuple((*key, amount, count.get(key, 0)) for key, amount in size.items())
    rows: list[tuple[int, int, str, int, int]] = []
    for line in (get(f"{group.v2_dir}/io.stat") or "").splitlines():
        device = re.match(r"(\d+):(\d+) ", line)
        if device is not None:
            values = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line)}
            major, minor = int(device[1]), int(device[2])
            rows.append((major, minor, "read", values.get("rbytes", 0), values.get("rios", 0)))
            rows.append((major, minor, "write", values.get("wbytes", 0), values.get("wios", 0)))
    return tuple(rows)


def _v1_table(path: str) -> dict[tuple[int, int, str], int]:
    lines = re.findall(r"^(\d+):(\d+) (Read|Write) (\d+)$", get(path) or "", re.MULTILINE)
    return {(int(major), int(minor), name.lower()): int(value) for major, minor, name, value in lines}
