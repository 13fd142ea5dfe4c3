"""Limits and statistics of a cgroup, the same for v1 and v2, and the error of a failed operation."""

from __future__ import annotations

import errno as errno_names
from typing import Literal

import msgspec

from runtime.spawn.errnos import errno_label

_ADVICE = {
    errno_names.EACCES: "run as root, or have the cgroup tree delegated to this user",
    errno_names.EPERM: "run as root, or have the cgroup tree delegated to this user",
    errno_names.EROFS: "the cgroup tree is mounted read-only: mount -o remount,rw it, or leave the container",
    errno_names.ENOENT: "the cgroup is gone or its controller is not enabled there: see cgroup.controllers",
    errno_names.ENODEV: "the cgroup was removed, or the device has no request queue",
    errno_names.EINVAL: "the kernel does not accept this value",
    errno_names.ERANGE: "out of range on this machine: see nproc for its CPUs, and take a smaller value",
    errno_names.EBUSY: "processes are still inside: kill() them first; for subtree_control see evacuate=True",
    errno_names.ENOSPC: "no room: cpuset.cpus or cpuset.mems is empty, or cgroup.max.descendants is met",
    errno_names.EEXIST: "a cgroup of this id exists: choose another id, or remove() it first",
}


class CgroupError(Exception):
    """A cgroup operation failed: the message names operation, path, errno and what to do next.

    `errno` is None if no system call was made (for a limit whose controller does not exist).
    """

    def __init__(self, operation: str, path: str, errno: int | None = None, advice: str = "") -> None:
        self.operation, self.path, self.errno = operation, path, errno
        cause = f": {errno_label(errno)}" if errno else ""
        advice = advice or _ADVICE.get(errno or 0, "")
        super().__init__(f"{operation} {path}{cause}" + (f"; {advice}" if advice else ""))


class IoLimit(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes and operations per second on one block device, None for no limit."""

    major: int
    minor: int
    read_bps: int | None = None
    write_bps: int | None = None
    read_iops: int | None = None
    write_iops: int | None = None


class DeviceRule(msgspec.Struct, frozen=True, kw_only=True):
    """Device nodes that may be used. kind: c, b, or a for both; None: any number; access: of r, w and m."""

    kind: Literal["a", "b", "c"] = "a"
    major: int | None = None
    minor: int | None = None
    access: str = "rwm"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The limits of a container; None leaves the kernel's default (no limit).

    cpu_quota_us: µs of CPU in each cpu_period_us, over all cores (150 000 of 100 000 = 1.5 cores); the period
    is 100 000 by default.
    cpu_weight: 1…10 000, default 100 (v1: shares = weight x 10.24). cpu_shares: v1's unit, instead of it.
    cpuset_cpus, cpuset_mems: lists in the kernel's form, `0-1,3`.
    memory_max: bytes of memory; swap_max: bytes of swap beyond it; -1 removes a limit, also pids_max.
    memory_low: bytes that reclaim spares as long as it can (v1: the soft limit). swappiness: 0…100, v1 only.
    oom_kill_disable: stop processes instead of killing them when memory is full, v1 only. io_weight: 1…1000,
    default 500.
    confine_devices: allow only the nodes that every container has in /dev (see cgroups.devices), and
    `devices`.
    """

    cpu_quota_us: int | None = None
    cpu_period_us: int | None = None
    cpu_weight: int | None = None
    cpu_shares: int | None = None
    cpuset_cpus: str | None = None
    cpuset_mems: str | None = None
    memory_max: int | None = None
    swap_max: int | None = None
    pids_max: int | None = None
    io: tuple[IoLimit, ...] = ()
    confine_devices: bool = True
    devices: tuple[DeviceRule, ...] = ()
    memory_low: int | None = None
    swappiness: int | None = None
    oom_kill_disable: bool = False
    io_weight: int | None = None

    @property
    def cpu_bandwidth(self) -> tuple[int | None, int] | None:
        """Quota and period, None if neither is given."""
        if self.cpu_quota_us is None and self.cpu_period_us is None:
            return None
        return self.cpu_quota_us, self.cpu_period_us or 100_000

    def controllers(self) -> frozenset[str]:
        """Return the controllers (v2 names) that these limits need."""
        wanted = {
            "cpu": self.cpu_bandwidth is not None or self.cpu_weight is not None,
            "cpuset": self.cpuset_cpus is not None or self.cpuset_mems is not None,
            "memory": any(value is not None for value in (self.memory_max, self.swap_max, self.memory_low)),
            "pids": self.pids_max is not None,
            "io": bool(self.io),
        }
        return frozenset(name for name, is_set in wanted.items() if is_set)


class Stats(msgspec.Struct, frozen=True, kw_only=True):
    """What a cgroup has used since it was made; None where the kernel does not count it.

    Times are ns, sizes bytes. `memory_bytes` includes page cache that is charged to the group.
    """

    cpu_usage_ns: int | None = None
    cpu_user_ns: int | None = None
    cpu_system_ns: int | None = None
    cpu_periods: int | None = None
    throttled_periods: int | None = None
    throttled_ns: int | None = None
    memory_bytes: int | None = None
    memory_peak: int | None = None
    pids: int | None = None
    oom_kills: int | None = None
