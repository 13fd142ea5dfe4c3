"""Checks of the system: rights, cgroups, virtualization, mitigations."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from bench.host import fingerprint as facts
from bench.host.check import Check, Topic, text

CONTROLLERS = ("cpu", "cpuset", "memory", "pids", "io")
"""The controllers that the container backends use."""


def checks(root: Path) -> Iterator[Check]:
    """Yield all checks of this module."""
    yield privilege()
    yield cgroups(root)
    yield virtualization(root)
    yield mitigations(root)


def privilege(uid: int | None = None) -> Check:
    """Check for root, without which nothing can be measured."""
    about = Topic("root", "all metrics: nothing is measured without root, which chroot and namespaces need")
    if (os.geteuid() if uid is None else uid) == 0:
        return about("ok", "running as root")
    return about("bad", "not root", "run it again with sudo")


def cgroups(root: Path) -> Check:
    """Check the cgroup layout and the controllers that can be used."""
    found = facts.cgroup_layout(root)
    if found == "none":
        about = Topic("cgroups", "runtime, docker, crun: no limits, no memory figures")
        return about("bad", "no cgroups mounted", "mount -t cgroup2 none /sys/fs/cgroup")
    there = controllers(root)
    lacking = [name for name in CONTROLLERS if name not in there and (name != "io" or "blkio" not in there)]
    words = f"{found}; controllers: {' '.join(sorted(there)) or 'none'}"
    about = Topic("cgroups", "startup: joining a v1 group waits for an RCU grace period")
    if lacking:
        words += f"; missing: {' '.join(lacking)}"
        about = Topic("cgroups", f"runtime, docker, crun: no limits of {', '.join(lacking)}")
    if found == "v2" and not lacking:
        return about("ok", words)
    fix = (
        "boot with systemd.unified_cgroup_hierarchy=1"
        if found != "v2"
        else "delegate them: echo +NAME > cgroup.subtree_control in the cgroup above"
    )
    return about("warn", words, fix)


def controllers(root: Path) -> set[str]:
    """Return the controllers that are mounted (v1) or offered by the root of the v2 tree."""
    found: set[str] = set()
    for target, kind, options in _mounted(root):
        if kind == "cgroup2":
            found |= set(text(root / target.lstrip("/") / "cgroup.controllers").split())
        elif kind == "cgroup":
            found |= {name for name in options.split(",") if name in (*CONTROLLERS, "blkio", "cpuacct")}
    return found


def _mounted(root: Path) -> Iterator[tuple[str, str, str]]:
    for line in text(root / "proc/self/mounts").splitlines():
        fields = line.split()
        if len(fields) >= 4:
            yield fields[1], fields[2], fields[3]


def virtualization(root: Path) -> Check:
    """Check whether the host is itself a virtual machine."""
    about = Topic("virtualization", "vm: nested virtualization is slower than virtualization on bare metal")
    found = facts.virtualization(root)
    if not found.startswith("virtual"):
        return about("ok", found)
    return about("warn", found, "measure VMs on bare metal")


def mitigations(root: Path) -> Check:
    """Check the mitigations of CPU vulnerabilities, which are part of what is measured."""
    about = Topic(
        "mitigations",
        "cpu.syscall, startup, network: each kernel entry costs more; compare only runs with the same ones",
    )
    states = facts.mitigations(root)
    if not states:
        return about("unknown", "the host does not show it")
    active = [name for name, state in states.items() if state.startswith("Mitigation")]
    open_ = [name for name, state in states.items() if state.startswith("Vulnerable")]
    found = f"{len(active)} active, {len(open_)} open of {len(states)}"
    if "mitigations=off" in text(root / "proc/cmdline").split():
        return about("warn", f"{found}; switched off", "boot without mitigations=off, which few hosts use")
    return about("ok", found)
