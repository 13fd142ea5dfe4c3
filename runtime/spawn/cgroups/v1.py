"""cgroup v1: control files for limits and usage."""

from __future__ import annotations

from collections.abc import Mapping

from runtime.spawn.cgroups.files import get_int, get_table
from runtime.spawn.cgroups.limits import Limits

Writes = list[tuple[str, str]]


def limit_writes(controller: str, limits: Limits) -> Writes:
    """Return (control file, value) pairs in the order to write them; `controller` is v1's name."""
    if controller == "cpu":
        return _cpu(limits)
    if controller == "memory":
        return _memory(limits)
    if controller == "pids" and limits.pids_max is not None:
        return [("pids.max", str(limits.pids_max) if limits.pids_max >= 0 else "max")]
    if controller == "cpuset":
        pairs = (("cpuset.cpus", limits.cpuset_cpus), ("cpuset.mems", limits.cpuset_mems))
        return [(file, value) for file, value in pairs if value is not None]
    return _blkio(limits) if controller == "blkio" else []


def _cpu(limits: Limits) -> Writes:
    writes = []
    if limits.cpu_bandwidth is not None:
        quota, period = limits.cpu_bandwidth
        writes.append(("cpu.cfs_period_us", str(period)))
        if quota is not None:
            writes.append(("cpu.cfs_quota_us", str(quota)))
    shares = limits.cpu_shares
    if shares is None and limits.cpu_weight is not None:
        shares = limits.cpu_weight * 1024 // 100
    if shares is not None:
        writes.append(("cpu.shares", str(max(2, shares))))
    return writes


def _memory(limits: Limits) -> Writes:
    writes = []
    if limits.memory_max is not None:
        writes.append(("memory.limit_in_bytes", str(limits.memory_max)))
        if limits.swap_max is not None:  # v1 limits the sum of both
            both = -1 if -1 in (limits.swap_max, limits.memory_max) else limits.memory_max + limits.swap_max
            writes.append(("memory.memsw.limit_in_bytes", str(both)))
    if limits.memory_low is not None:
        writes.append(("memory.soft_limit_in_bytes", str(limits.memory_low)))
    if limits.swappiness is not None:
        writes.append(("memory.swappiness", str(limits.swappiness)))
    if limits.oom_kill_disable:
        writes.append(("memory.oom_control", "1"))
    return writes


def _blkio(limits: Limits) -> Writes:
    writes = []
    if limits.io_weight is not None:
        writes.append(("blkio.bfq.weight", str(limits.io_weight)))
    for io in limits.io:
        for name in ("read_bps", "write_bps", "read_iops", "write_iops"):
            value = getattr(io, name)
            if value is not None:
                writes.append((f"blkio.throttle.{name}_device", f"{io.major}:{io.minor} {value}"))
    return writes


def read_stats(dirs: Mapping[str, str]) -> dict[str, int | None]:
    """Read usage; `dirs` maps a v1 controller to this container's directory in its hierarchy."""
    found: dict[str, int | None] = {}
    if "cpuacct" in dirs:
        for key, file in (("cpu_usage_ns", ""), ("cpu_user_ns", "_user"), ("cpu_system_ns", "_sys")):
            found[key] = get_int(f"{dirs['cpuacct']}/cpuacct.usage{file}")
    if "cpu" in dirs:
        table = get_table(f"{dirs['cpu']}/cpu.stat")
        found["cpu_periods"] = table.get("nr_periods")
        found["throttled_periods"] = table.get("nr_throttled")
        found["throttled_ns"] = table.get("throttled_time")
    if "memory" in dirs:
        found |= _memory_stats(dirs["memory"])
    if "pids" in dirs:
        found["pids"] = get_int(f"{dirs['pids']}/pids.current")
    return found


def _memory_stats(path: str) -> dict[str, int | None]:
    return {
        "memory_bytes": get_int(f"{path}/memory.usage_in_bytes"),
        "memory_peak": get_int(f"{path}/memory.max_usage_in_bytes"),
        "oom_kills": get_table(f"{path}/memory.oom_control").get("oom_kill"),
    }
