"""What a container gets when nothing else is said: Docker's mounts, masks and namespaces."""

from __future__ import annotations

from runtime.oci.spec import Mount, NamespaceType

MASKED = (
    "/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys", "/proc/latency_stats",
    "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
    "/sys/devices/virtual/powercap", "/sys/firmware",
)  # fmt: skip
READONLY = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")

_QUIET = ("nosuid", "noexec", "nodev")
MOUNTS = (
    Mount(destination="/proc", type="proc", source="proc", options=_QUIET),
    Mount(destination="/dev", type="tmpfs", source="tmpfs", options=("nosuid", "mode=755", "size=64k")),
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

NAMESPACES: tuple[NamespaceType, ...] = ("pid", "mount", "uts", "ipc", "network", "cgroup")
"""What Docker makes. `user` and `time` are there to be asked for."""

PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
