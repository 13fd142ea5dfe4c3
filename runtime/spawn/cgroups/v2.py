"""cgroup v2: control files for limits and usage, and how controllers are enabled."""

from __future__ import annotations

import errno

from runtime.spawn.cgroups.files import get, get_int, get_table, make, put
from runtime.spawn.cgroups.limits import CgroupError, IoLimit, Limits

CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "io")


def limit_writes(limits: Limits) -> list[tuple[str, str]]:
    """Return (control file, value) pairs in the order to write them."""
    writes = []
    if limits.cpu_bandwidth is not None:
        quota, period = limits.cpu_bandwidth
        writes.append(("cpu.max", f"{quota if quota and quota > 0 else 'max'} {period}"))
    plain = (
        ("cpu.weight", limits.cpu_weight),
        ("cpuset.cpus", limits.cpuset_cpus),
        ("cpuset.mems", limits.cpuset_mems),
        ("memory.max", limits.memory_max),
        ("memory.swap.max", limits.swap_max),
        ("memory.low", limits.memory_low),
        ("pids.max", limits.pids_max),
    )
    writes += [(file, _or_max(value)) for file, value in plain if value is not None]
    if limits.io_weight is not None:
        writes.append(("io.bfq.weight", str(limits.io_weight)))
    return writes + [("io.max", _io_line(io)) for io in limits.io]


def _or_max(value: str | int) -> str:
    return "max" if isinstance(value, int) and value < 0 else str(value)


def _io_line(io: IoLimit) -> str:
    pairs = (("rbps", io.read_bps), ("wbps", io.write_bps), ("riops", io.read_iops), ("wiops", io.write_iops))
    return f"{io.major}:{io.minor} " + " ".join(f"{key}={value}" for key, value in pairs if value is not None)


def read_stats(path: str) -> dict[str, int | None]:
    """Read usage of the cgroup at `path`; keys whose controller is not enabled there are left out."""
    cpu = get_table(f"{path}/cpu.stat")
    micro = {"cpu_usage_ns": "usage_usec", "cpu_user_ns": "user_usec", "cpu_system_ns": "system_usec"}
    micro["throttled_ns"] = "throttled_usec"
    found: dict[str, int | None] = {key: cpu[name] * 1000 for key, name in micro.items() if name in cpu}
    if "nr_periods" in cpu:
        found |= {"cpu_periods": cpu["nr_periods"], "throttled_periods": cpu["nr_throttled"]}
    memory = get_int(f"{path}/memory.current")
    if memory is not None:
        found |= {"memory_bytes": memory, "memory_peak": get_int(f"{path}/memory.peak")}
        found["oom_kills"] = get_table(f"{path}/memory.events").get("oom_kill")
    pids = get_int(f"{path}/pids.current")
    if pids is not None:
        found["pids"] = pids
    return found


def enable(path: str, wanted: frozenset[str], *, leaf: str | None = None) -> None:
    """Enable controllers for the children of `path`.

    The kernel refuses (EBUSY) while processes are in `path` itself, unless it is the real root: the
    *no internal process* rule. With `leaf`, they are first moved to that child. Raises CgroupError.
    """
    have = frozenset((get(f"{path}/cgroup.subtree_control") or "").split())
    missing = wanted - have
    if not missing:
        return
    line = " ".join(f"+{name}" for name in sorted(missing))
    try:
        put(f"{path}/cgroup.subtree_control", line)
    except CgroupError as error:
        if error.errno != errno.EBUSY:
            raise
        if leaf is None:
            advice = f"processes are in {path} itself: move them to a cgroup below it, or pass evacuate=True"
            raise CgroupError("enable controllers in", path, errno.EBUSY, advice) from error
        evacuate(path, f"{path}/{leaf}")
        put(f"{path}/cgroup.subtree_control", line)


def evacuate(source: str, leaf: str) -> None:
    """Move all processes of `source` to its child `leaf`, except kernel threads, which cannot move."""
    make(leaf, exist_ok=True)
    for _ in range(10):  # processes may fork meanwhile
        movable = [pid for pid in (get(f"{source}/cgroup.procs") or "").split() if _move(pid, leaf)]
        if not movable:
            return


def _move(pid: str, leaf: str) -> bool:
    try:
        put(f"{leaf}/cgroup.procs", pid)
    except CgroupError as error:
        if error.errno in (errno.ESRCH, errno.EINVAL):
            return False
        raise
    return True
