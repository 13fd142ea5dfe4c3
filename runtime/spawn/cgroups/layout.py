"""Find out how this machine mounts its cgroups: v2, v1, or both (hybrid)."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

import msgspec

from runtime.spawn.cgroups.limits import CgroupError

V1_CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "devices", "blkio", "cpuacct", "freezer")


class Layout(msgspec.Struct, frozen=True, kw_only=True):
    """Where cgroups are mounted. `v1`: controller to mount point, in the order of V1_CONTROLLERS; `v2`: the
    mount point of the unified tree, or None.

    `v2_controllers` is empty in the usual hybrid layout, where v1 has the controllers. The v2 tree is still
    useful: it kills and freezes in one write, accounts CPU time, and takes a child in clone3.
    """

    v1: dict[str, str]
    v2: str | None
    v2_controllers: frozenset[str] = frozenset()

    @property
    def kind(self) -> Literal["v1", "v2", "hybrid"]:
        """The name of the layout, as `ninetynine doctor` and results show it."""
        if not self.v1:
            return "v2"
        return "hybrid" if self.v2 else "v1"


def find_layout(mountinfo: str | None = None) -> Layout:
    """Read the mounts of this process (or `mountinfo`, in the format of /proc/self/mountinfo).

    Raises CgroupError if no cgroup file system is mounted.
    """
    text = Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo
    v1: dict[str, str] = {}
    v2: list[str] = []
    for kind, where, options in _mounts(text):
        if kind == "cgroup2":
            v2.append(where)
        for controller in set(options) & set(V1_CONTROLLERS) if kind == "cgroup" else ():
            v1[controller] = _preferred(v1.get(controller), where)
    if not v1 and not v2:
        advice = "mount one: mount -t cgroup2 none /sys/fs/cgroup"
        raise CgroupError("find cgroups: no cgroup file system in", "/proc/self/mountinfo", advice=advice)
    v1 = {name: v1[name] for name in V1_CONTROLLERS if name in v1}
    unified = min(v2, key=lambda where: not where.startswith("/sys/fs/cgroup")) if v2 else None
    return Layout(v1=v1, v2=unified, v2_controllers=controllers_at(unified))


def find_delegated(layout: Layout, own: str | None = None) -> str:
    """Return the path of the cgroup that systemd has delegated to the unit of this process, "" without one.

    Only on v2, and only the parent of our own: a cgroup with processes in it cannot pass controllers on, so
    the unit needs DelegateSubgroup= besides Delegate=, and a cgroup further above was delegated to something
    else (a user's session). own: this process's cgroup, as in /proc/self/cgroup.

    Source: https://systemd.io/CGROUP_DELEGATION/ ("Delegation", the attribute `user.delegate`).
    """
    if layout.v1 or layout.v2 is None:
        return ""
    text = Path("/proc/self/cgroup").read_text() if own is None else own
    above = text.strip().removeprefix("0::").rpartition("/")[0]
    for name in ("user.delegate", "trusted.delegate") if above else ():
        try:
            if os.getxattr(f"{layout.v2}{above}", name) == b"1":
                return above
        except OSError:  # the other name is that of systemd before 251
            continue
    return ""


def _preferred(old: str | None, new: str) -> str:
    """Choose between two mount points of a hierarchy, which may be bound elsewhere too (a chroot)."""
    return (
        old if old is not None and (old.startswith("/sys/fs/cgroup") or not new.startswith("/sys")) else new
    )


def _mounts(text: str) -> list[tuple[str, str, list[str]]]:
    found = []
    for line in text.splitlines():
        left, _, right = line.partition(" - ")
        kind, _, options = right.split(" ", 2)
        if kind in ("cgroup", "cgroup2"):
            where = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), left.split()[4])
            found.append((kind, where, options.split(",")))
    return found


def controllers_at(path: str | None) -> frozenset[str]:
    """Return the controllers of the cgroup `path` of a v2 tree."""
    if path is None:
        return frozenset()
    try:
        return frozenset(Path(path, "cgroup.controllers").read_text().split())
    except OSError:
        return frozenset()
