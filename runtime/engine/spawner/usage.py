"""What a container uses now, from its cgroup and its network namespace."""

from __future__ import annotations

import re
from pathlib import Path

from runtime.engine.errors import ConflictError
from runtime.engine.spawner.protocol import Usage
from runtime.engine.spawner.running import RunningContainer
from runtime.spawn.cgroups import Cgroup
from runtime.spawn.cgroups.files import get, get_int, get_table

_UNLIMITED_V1 = 1 << 60
_IO_TABLES = ("io_service_bytes_recursive", "io_serviced_recursive")
_Rows = tuple[tuple[int, int, str, int], ...]
_FIELDS = (0, 1, 2, 3, 8, 9, 10, 11)
"""Of a line of /proc/net/dev: bytes, packets, errors and dropped, received and sent."""


def read_usage(running: RunningContainer) -> Usage:
    """Return what `running` uses. Raises ConflictError without a cgroup, CgroupError."""
    group = running.container.group
    if group is None:
        raise ConflictError(f"read the usage of {running.id}: it has no cgroup; start it with one")
    stats = group.stats()
    memory = group.v1_dirs.get("memory", group.v2_dir)
    return Usage(
        cpu_ns=stats.cpu_usage_ns or 0,
        cpu_user_ns=stats.cpu_user_ns or 0,
        cpu_system_ns=stats.cpu_system_ns or 0,
        memory_bytes=stats.memory_bytes or 0,
        memory_max=_memory_max(group),
        memory_stat=get_table(f"{memory}/memory.stat"),
        memory_peak=stats.memory_peak,
        pids=stats.pids or 0,
        pids_max=_pids_max(group),
        throttled_periods=stats.throttled_periods or 0,
        periods=stats.cpu_periods or 0,
        throttled_ns=stats.throttled_ns or 0,
        oom_kills=stats.oom_kills or 0,
        memory_refused=_memory_refused(group),
        cpu_each_ns=_cpu_each(group),
        interfaces=_interfaces(running.main.pid) if running.main.exited is None else {},
        io_tables=_io_tables(group),
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


def _memory_refused(group: Cgroup) -> int:
    if "memory" in group.v1_dirs:
        return get_int(f"{group.v1_dirs['memory']}/memory.failcnt") or 0
    return get_table(f"{group.v2_dir}/memory.events").get("oom", 0)


def _cpu_each(group: Cgroup) -> tuple[int, ...]:
    if "cpuacct" not in group.v1_dirs:
        return ()
    return tuple(map(int, (get(f"{group.v1_dirs['cpuacct']}/cpuacct.usage_percpu") or "").split()))


def _io_tables(group: Cgroup) -> dict[str, _Rows]:
    if "blkio" in group.v1_dirs:
        return {name: _v1_rows(f"{group.v1_dirs['blkio']}/blkio.throttle.{name}") for name in _IO_TABLES}
    return {_IO_TABLES[0]: v2_rows(get(f"{group.v2_dir}/io.stat") or "")}


def _v1_rows(path: str) -> _Rows:
    lines = re.findall(r"^(\d+):(\d+) (\w+) (\d+)$", get(path) or "", re.MULTILINE)
    return tuple((int(major), int(minor), name, int(value)) for major, minor, name, value in lines)


def v2_rows(text: str) -> _Rows:
    """Return the bytes read and written of each device of an io.stat, as dockerd names them on v2."""
    rows: list[tuple[int, int, str, int]] = []
    for major, minor, values in re.findall(r"^(\d+):(\d+)(.*)$", text, re.MULTILINE):
        counts = {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", values)}
        rows.append((int(major), int(minor), "read", counts.get("rbytes", 0)))
        rows.append((int(major), int(minor), "write", counts.get("wbytes", 0)))
    return tuple(rows)
