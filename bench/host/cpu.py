"""Checks of processors: clock frequency, shared cores and nodes, the CPUs for the arms."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.host.check import Check, Fact, Topic, chosen, cpu_list, cpu_set, number, one_of, text

CPUS = "sys/devices/system/cpu"
FAST_CLOCKS = ("tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter")
"""Read by the vDSO without a system call."""

FACTS = (
    Fact(
        name="turbo",
        paths=(f"{CPUS}/intel_pstate/no_turbo",),
        fine=one_of("1"),
        effect="cpu, memory: the clock frequency depends on heat and on work on other cores",
        fix="ninetynine tune, or: echo 1 > {path}",
        shown=lambda found: "off" if found == "1" else "on",
    ),
    Fact(
        name="turbo",
        paths=(f"{CPUS}/cpufreq/boost",),
        fine=one_of("0"),
        effect="cpu, memory: the clock frequency depends on heat and on work on other cores",
        fix="ninetynine tune, or: echo 0 > {path}",
        shown=lambda found: "off" if found == "0" else "on",
        absent="neither intel_pstate nor a boost switch here (usual inside a VM)",
    ),
    Fact(
        name="clocksource",
        paths=("sys/devices/system/clocksource/clocksource0/current_clocksource",),
        fine=one_of(*FAST_CLOCKS),
        effect="startup, network.latency: a slow clock needs a system call for each stamp",
        fix="boot with clocksource=tsc",
    ),
    Fact(
        name="nmi watchdog",
        paths=("proc/sys/kernel/nmi_watchdog",),
        fine=one_of("0"),
        effect="cpu: an interrupt on every CPU every few seconds",
        fix="ninetynine tune, or: sysctl kernel.nmi_watchdog=0",
        shown=lambda found: "off" if found == "0" else "on",
    ),
)


def checks(root: Path, cpus: Sequence[int]) -> Iterator[Check]:
    """Yield all checks of this module. cpus: those planned for every arm."""
    yield placement(root, cpus)
    yield governor(root, cpus)
    intel, boost, *others = FACTS
    found = intel.look(root)
    yield boost.look(root) if found.state == "unknown" else found
    yield smt(root, cpus)
    yield numa(root, cpus)
    yield throttling(root, cpus)
    yield from (fact.look(root) for fact in others)
    yield kernel(root)


def placement(root: Path, cpus: Sequence[int]) -> Check:
    """Check which CPUs every arm gets, and whether other work is kept off them."""
    isolated = cpu_set(text(root / CPUS / "isolated"))
    online = cpu_set(text(root / CPUS / "online"))
    found = f"CPUs {cpu_list(cpus)} for every arm: the first two this process may use, or --cpus"
    if len(cpus) > 1:
        found += f"; network: clients on {cpus[0]}, the peer's servers on {cpus[-1]}"
    if online:
        found += f"; online: {cpu_list(online)}"
    about = Topic("placement", "all metrics: other processes may run on the same CPUs during a slice")
    if cpus and set(cpus) <= isolated:
        return about("ok", f"{found}; isolated")
    if len(cpus) < 2:
        fix = "give two CPUs with --cpus, or widen this process's set (taskset, cpuset)"
        worse = Topic(about.name, f"network: client and server share one CPU; {about.effect}")
        return worse("warn", found, fix)
    return about("ok", f"{found}; not isolated")


def governor(root: Path, cpus: Sequence[int]) -> Check:
    """Check the frequency governors of the planned CPUs."""
    about = Topic("governor", "cpu, memory, startup: the clock frequency rises during a slice")
    found = {text(root / CPUS / f"cpu{cpu}/cpufreq/scaling_governor") for cpu in cpus} - {""}
    if not found:
        return about("unknown", "no cpufreq here (usual inside a VM)")
    shown = ", ".join(sorted(found))
    if found == {"performance"}:
        return about("ok", shown)
    return about("warn", shown, "ninetynine tune, or: cpupower frequency-set -g performance")


def smt(root: Path, cpus: Sequence[int]) -> Check:
    """Check for hardware threads that share a core, with each other or with other work."""
    about = Topic("smt", "cpu, memory: a busy sibling thread takes up to half of a core")
    control = text(root / CPUS / "smt/control")
    siblings = {cpu: cpu_set(text(root / CPUS / f"cpu{cpu}/topology/thread_siblings_list")) for cpu in cpus}
    if not control and not any(siblings.values()):
        return about("unknown", "the host does not show it")
    shared = sorted({cpu_list(group) for group in siblings.values() if len(group) > 1})
    if not shared:
        return about("ok", f"no shared cores ({control or 'by topology'})")
    within = [group for group in shared if len(cpu_set(group) & set(cpus)) > 1]
    if within:
        found = f"planned CPUs {' and '.join(within)} are threads of one core"
        fix = "choose one thread a core with --cpus"
    else:
        found = f"siblings outside the plan: cores {' and '.join(shared)}"
        fix = "keep the siblings idle, or: echo off > /sys/devices/system/cpu/smt/control"
    return about("warn", found, fix)


def numa(root: Path, cpus: Sequence[int]) -> Check:
    """Check whether the planned CPUs are on one memory node."""
    about = Topic("numa", "memory, cpu: memory of another node takes up to twice as long")
    folders = sorted((root / "sys/devices/system/node").glob("node[0-9]*"))
    nodes = {folder.name: cpu_set(text(folder / "cpulist")) for folder in folders}
    if not nodes:
        return about("unknown", "no nodes in /sys")
    ours = sorted(name for name, members in nodes.items() if members & set(cpus))
    found = f"{len(nodes)} node{'s' * (len(nodes) > 1)}; planned CPUs on {', '.join(ours) or 'none'}"
    if len(ours) < 2:
        return about("ok", found)
    one = next(members for name, members in nodes.items() if name == ours[0])
    return about("warn", found, f"--cpus out of {cpu_list(one)}")


def throttling(root: Path, cpus: Sequence[int]) -> Check:
    """Check how often cores were throttled for heat, and how hot the zones are."""
    about = Topic(
        "thermal",
        "cpu, memory: the clock frequency falls as the machine gets hot, so later slices are slower",
    )
    counts = [
        count
        for cpu in cpus
        if (count := number(root / CPUS / f"cpu{cpu}/thermal_throttle/core_throttle_count")) is not None
    ]
    zones = (root / "sys/class/thermal").glob("thermal_zone*/temp")
    degrees = [value / 1000 for zone in zones if (value := number(zone)) is not None and value > 0]
    parts = [f"{sum(counts)} throttle events since boot"] if counts else []
    parts += [f"hottest zone {max(degrees):.0f} °C"] if degrees else []
    if not parts:
        return about("unknown", "no thermal zones and no throttle counts (usual inside a VM)")
    if not any(counts) and not any(value >= 90 for value in degrees):
        return about("ok", "; ".join(parts))
    fix = "let it cool, improve the cooling, or lower the clock (ninetynine tune turns turbo off)"
    return about("warn", "; ".join(parts), fix)


def kernel(root: Path) -> Check:
    """Check the frequency of the kernel's tick, and preemption."""
    about = Topic("kernel", "startup, network.latency: ticks and preemption decide when a woken program runs")
    version = text(root / "proc/sys/kernel/version")
    preempt = re.search(r"PREEMPT\w*", version)
    dynamic = chosen(text(root / "sys/kernel/debug/sched/preempt"))
    tick = re.search(r"^CONFIG_HZ=(\d+)$", _config(root), re.MULTILINE)
    parts = [preempt[0].lower() if preempt else "no preemption shown"] if version else []
    parts += [f"now {dynamic}"] if dynamic else []
    parts += [f"{tick[1]} Hz"] if tick else []
    if not parts:
        return about("unknown", "the kernel does not show it")
    return about("ok", ", ".join(parts))


def _config(root: Path) -> str:
    release = text(root / "proc/sys/kernel/osrelease")
    try:
        import gzip

        with gzip.open(root / "proc/config.gz", "rt") as file:
            return file.read()
    except (OSError, EOFError):
        return text(root / f"boot/config-{release}")
