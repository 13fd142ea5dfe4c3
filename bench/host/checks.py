"""What about this host can spoil a measurement, or prevent it: each check reads a fact and says what it does.

A check changes nothing. `bad` prevents measuring, `warn` makes results worse or less comparable, `ok` is
fine, `unknown` means that the host does not tell. `effect` names the metrics touched, `fix` what helps.
"""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

import msgspec

from bench.host import fingerprint as facts

MIB = 1 << 20
NEEDED_DISK = 3 << 30
"""Bytes for the image, its forms for containers and VMs, and the writable layers of a run."""

NEEDED_MEMORY = 2 << 30
"""Bytes available for the idle instances of all arms and the memory family's buffers."""


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the doctor."""

    name: str
    state: Literal["ok", "warn", "bad", "unknown"]
    found: str
    effect: str = ""
    fix: str = ""


def host_checks(storage: Path, root: Path = Path("/")) -> list[Check]:
    """All checks of the host itself. `storage` is where images lie; `root` is for tests."""
    checks: Iterable[Callable[[], Check]] = (
        privilege,
        lambda: load(root),
        lambda: pressure(root),
        lambda: steal(root),
        lambda: governor(root),
        lambda: turbo(root),
        lambda: smt(root),
        lambda: clocksource(root),
        lambda: memory(root),
        lambda: swap(root),
        lambda: disk(storage),
        lambda: cgroups(root),
        lambda: virtualization(root),
    )
    return [check() for check in checks]


def privilege(uid: int | None = None) -> Check:
    """Root, without which nothing can be measured."""
    if (os.geteuid() if uid is None else uid) == 0:
        return Check(name="root", state="ok", found="running as root")
    return Check(
        name="root",
        state="bad",
        found="not root",
        effect="nothing can be measured: the host baseline needs chroot, containers need namespaces",
        fix="run it again with sudo",
    )


def load(root: Path) -> Check:
    """Other work on the CPUs."""
    text = _read(root / "proc/loadavg")
    cpus = os.cpu_count() or 1
    if not text:
        return Check(name="load", state="unknown", found="no /proc/loadavg")
    average = float(text.split()[0])
    found = f"load average {average:.2f} on {cpus} CPUs"
    if average < 0.5 * cpus:
        return Check(name="load", state="ok", found=found)
    return Check(
        name="load",
        state="warn",
        found=found,
        effect="all metrics: wider intervals",
        fix="end other work first",
    )


def pressure(root: Path) -> Check:
    """Tasks that wait for a CPU, over the last ten seconds."""
    text = _read(root / "proc/pressure/cpu")
    if "avg10=" not in text:
        return Check(name="cpu pressure", state="unknown", found="the kernel does not tell (PSI is off)")
    share = float(text.split("avg10=", 1)[1].split()[0])
    found = f"tasks waited {share:.1f} % of the last 10 s"
    if share < 10:
        return Check(name="cpu pressure", state="ok", found=found)
    effect = "all metrics: slowdown follows this figure closely"
    return Check(name="cpu pressure", state="warn", found=found, effect=effect, fix="end other work first")


def steal(root: Path, seconds: float = 0.2) -> Check:
    """Time the hypervisor gave to others, looked at for a moment."""
    before, after = _steal(root), None
    if before is not None:
        time.sleep(seconds)
        after = _steal(root)
    if before is None or after is None:
        return Check(name="steal", state="unknown", found="no steal time in /proc/stat")
    total = max(after[1] - before[1], 1)
    share = 100 * (after[0] - before[0]) / total
    if share < 2:
        return Check(name="steal", state="ok", found=f"{share:.1f} % of CPU time stolen")
    return Check(
        name="steal",
        state="warn",
        found=f"{share:.1f} % of CPU time stolen",
        effect="all metrics: wider intervals",
        fix="use a machine, or an instance type, with CPUs of its own",
    )


def governor(root: Path) -> Check:
    """The frequency governor of CPU 0."""
    found = _read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")
    if not found:
        return Check(name="governor", state="unknown", found="no cpufreq here (usual inside a VM)")
    if found == "performance":
        return Check(name="governor", state="ok", found=found)
    return Check(
        name="governor",
        state="warn",
        found=found,
        effect="cpu, memory, startup: the clock rises during a slice",
        fix="cpupower frequency-set -g performance",
    )


def turbo(root: Path) -> Check:
    """Whether the clock may rise above its nominal rate."""
    intel = _read(root / "sys/devices/system/cpu/intel_pstate/no_turbo")
    boost = _read(root / "sys/devices/system/cpu/cpufreq/boost")
    if not intel and not boost:
        return Check(name="turbo", state="unknown", found="the host does not tell")
    if intel == "1" or boost == "0":
        return Check(name="turbo", state="ok", found="off")
    fix = "echo 1 > /sys/devices/system/cpu/intel_pstate/no_turbo" if intel else ""
    return Check(
        name="turbo",
        state="warn",
        found="on",
        effect="cpu, memory: the clock depends on heat and on the neighbour's work",
        fix=fix or "echo 0 > /sys/devices/system/cpu/cpufreq/boost",
    )


def smt(root: Path) -> Check:
    """Two hardware threads on one core."""
    found = _read(root / "sys/devices/system/cpu/smt/control")
    if not found:
        return Check(name="smt", state="unknown", found="the host does not tell")
    if found in ("off", "forceoff", "notsupported", "notimplemented"):
        return Check(name="smt", state="ok", found=found)
    return Check(
        name="smt",
        state="warn",
        found=found,
        effect="cpu, memory: a sibling thread takes part of a core",
        fix="echo off > /sys/devices/system/cpu/smt/control, or choose one thread a core with --cpus",
    )


def clocksource(root: Path) -> Check:
    """What every stamp is read from."""
    found = _read(root / "sys/devices/system/clocksource/clocksource0/current_clocksource")
    if not found:
        return Check(name="clocksource", state="unknown", found="the host does not tell")
    if found in ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"):
        return Check(name="clocksource", state="ok", found=found)
    effect = "startup, network.latency: reading the clock takes a system call"
    return Check(
        name="clocksource", state="warn", found=found, effect=effect, fix="boot with clocksource=tsc"
    )


def memory(root: Path) -> Check:
    """Memory that is available now."""
    available = _meminfo(root, "MemAvailable")
    if available is None:
        return Check(name="memory", state="unknown", found="no MemAvailable in /proc/meminfo")
    found = f"{available // MIB} MiB available"
    if available >= NEEDED_MEMORY:
        return Check(name="memory", state="ok", found=found)
    effect = "memory and VM arms: reclaim and swapping during a slice"
    return Check(
        name="memory", state="warn", found=found, effect=effect, fix=f"free {NEEDED_MEMORY // MIB} MiB"
    )


def swap(root: Path) -> Check:
    """Whether pages are in swap."""
    total, free = _meminfo(root, "SwapTotal"), _meminfo(root, "SwapFree")
    if total is None or free is None:
        return Check(name="swap", state="unknown", found="no swap in /proc/meminfo")
    if total - free < 64 * MIB:
        return Check(name="swap", state="ok", found=f"{(total - free) // MIB} MiB in use")
    effect = "memory, startup: pages come back from disk"
    return Check(
        name="swap",
        state="warn",
        found=f"{(total - free) // MIB} MiB in use",
        effect=effect,
        fix="swapoff -a",
    )


def disk(storage: Path) -> Check:
    """Space, and the kind of file system, where images and writable layers lie."""
    place = next((path for path in (storage, *storage.parents) if path.exists()), Path("/"))
    free, kind = shutil.disk_usage(place).free, facts.filesystem(storage)
    found = f"{free // MIB} MiB free on {kind} below {storage}"
    if free < NEEDED_DISK:
        fix = f"free {NEEDED_DISK // MIB} MiB, or put the cache elsewhere with NINETYNINE_CACHE"
        return Check(
            name="disk", state="warn", found=found, effect="image, VM and disk family may fail", fix=fix
        )
    if kind.startswith(("overlay", "tmpfs", "ramfs", "nfs")):
        effect = "disk: an overlay cannot lie on this, or it is memory, or a network"
        fix = "put the cache on a local disk with NINETYNINE_CACHE"
        return Check(name="disk", state="warn", found=found, effect=effect, fix=fix)
    return Check(name="disk", state="ok", found=found)


def cgroups(root: Path) -> Check:
    """The layout that containers are limited by."""
    found = facts.cgroup_layout(root)
    if found == "none":
        effect = "runtime: no limits, no memory figures"
        fix = "mount -t cgroup2 none /sys/fs/cgroup"
        return Check(name="cgroups", state="bad", found="no cgroups mounted", effect=effect, fix=fix)
    if found == "v2":
        return Check(name="cgroups", state="ok", found=found)
    effect = "startup: joining a v1 group waits for an RCU grace period"
    return Check(
        name="cgroups",
        state="warn",
        found=found,
        effect=effect,
        fix="boot with systemd.unified_cgroup_hierarchy=1",
    )


def virtualization(root: Path) -> Check:
    """Whether the host is itself a guest."""
    found = facts.virtualization(root)
    if not found.startswith("virtual"):
        return Check(name="virtualization", state="ok", found=found)
    effect = "vm: a guest in a guest is slower than one on metal"
    return Check(
        name="virtualization", state="warn", found=found, effect=effect, fix="measure VMs on bare metal"
    )


def _steal(root: Path) -> tuple[int, int] | None:
    fields = _read(root / "proc/stat").split("\n", 1)[0].split()[1:]
    return (int(fields[7]), sum(map(int, fields[:8]))) if len(fields) >= 8 else None


def _meminfo(root: Path, key: str) -> int | None:
    for line in _read(root / "proc/meminfo").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return None


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""
