"""A container's defaults: Docker's mounts, masks and namespaces."""

from __future__ import annotations

import msgspec

from runtime.oci.spec import Mount, NamespaceType

MASKED_BY_DOCKER = (
    "/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
    "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
    "/sys/devices/virtual/powercap",
)  # fmt: skip
MASKED = (*MASKED_BY_DOCKER, "/proc/interrupts")
READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_QUIET = ("nosuid", "noexec", "nodev")
MOUNTS = (
    Mount(destination="/proc", type="proc", source="proc", options=_QUIET),
    Mount(
        destination="/dev",
        type="tmpfs",
        source="tmpfs",
        options=("nosuid", "strictatime", "mode=755", "size=65536k"),
    ),
    Mount(
        destination="/dev/pts",
        type="devpts",
        source="devpts",
        options=("nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
    ),
    Mount(destination="/sys", type="sysfs", source="sysfs", options=(*_QUIET, "ro")),
    Mount(destination="/dev/mqueue", type="mqueue", source="mqueue", options=_QUIET),
    Mount(destination="/dev/shm", type="tmpfs", source="shm", options=(*_QUIET, "mode=1777", "size=64m")),
)


def mounts(shm_bytes: int | None = None, *, sys_writable: bool = False) -> tuple[Mount, ...]:
    """Return MOUNTS with another size of /dev/shm, or with a writable /sys."""
    if shm_bytes is None and not sys_writable:
        return MOUNTS
    found = []
    for mount in MOUNTS:
        options = mount.options
        if mount.destination == "/dev/shm" and shm_bytes is not None:
            options = (*options[:-1], f"size={shm_bytes}")
        if mount.destination == "/sys" and sys_writable:
            options = _QUIET
        found.append(msgspec.structs.replace(mount, options=options))
    return tuple(found)


NAMESPACES: tuple[NamespaceType, ...] = ("pid", "mount", "uts", "ipc", "network", "cgroup")
"""Docker's namespaces. `user` and `time` only on request."""

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
