"""Checks of other work: load, the busiest processes, pressure (PSI), time stolen by a hypervisor."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from bench.host.check import Check, Topic, text

WATCHED_S = 0.25
"""Seconds between two readings of counters: some 25 ticks of each CPU's clock."""

PATIENT = 10.0
"""Per cent of ten seconds in which some task may wait before slices are affected."""

STOLEN = 2.0
"""Per cent of stolen CPU time at which a verdict on 1 % needs many more sessions."""

BUSY = 0.05
"""Share of one CPU above which another process is named: five times what a verdict on 1 % tolerates."""


class Counters(msgspec.Struct, frozen=True, kw_only=True):
    """Ticks since boot: stolen, total, and used by each process, by (pid, name)."""

    stolen: int | None
    total: int
    used: dict[tuple[int, str], int]


def checks(root: Path) -> Iterator[Check]:
    """Yield all checks of this module. Takes `WATCHED_S`, to watch counters."""
    yield load(root)
    for resource in ("cpu", "memory", "io"):
        yield pressure(root, resource)
    before, since = read(root), time.monotonic()
    time.sleep(WATCHED_S)
    after, passed = read(root), time.monotonic() - since
    yield steal(before, after)
    yield busiest(before, after, passed)


def load(root: Path) -> Check:
    """Check the number of tasks that ran or waited, over the last minute."""
    about = Topic("load", "all metrics: wider intervals, so a verdict takes longer")
    found = text(root / "proc/loadavg").split()
    cpus = os.cpu_count() or 1
    try:
        average = float(found[0])
    except (IndexError, ValueError):
        return about("unknown", "no /proc/loadavg")
    shown = f"load average {average:.2f} on {cpus} CPUs"
    if average < 0.5 * cpus:
        return about("ok", shown)
    return about("warn", shown, "end other work first")


_PRESSED = {
    "cpu": ("all metrics: slices slow down as this figure rises", "end other work first"),
    "memory": ("memory, startup: pages are reclaimed during a slice", "end what uses the memory"),
    "io": ("disk, startup: slices wait for other work's reads and writes", "end what uses the disk"),
}


def pressure(root: Path, resource: str) -> Check:
    """Check for tasks that waited for CPU, memory or disk, over the last ten seconds."""
    effect, fix = _PRESSED[resource]
    about = Topic(f"pressure {resource}", effect)
    share = re.search(r"^some avg10=(\d+(?:\.\d+)?)", text(root / f"proc/pressure/{resource}"))
    if share is None:
        return about("unknown", "the kernel does not show it (PSI is off; boot with psi=1)")
    waited = float(share[1])
    found = f"some task waited {waited:.1f} % of the last 10 s"
    if waited < PATIENT:
        return about("ok", found)
    return about("warn", found, fix)


def steal(before: Counters, after: Counters) -> Check:
    """Check the time that the hypervisor gave to other guests, between two readings."""
    about = Topic("steal", "all metrics: wider intervals; a whole slice may be lost to another guest")
    if before.stolen is None or after.stolen is None:
        return about("unknown", "no steal time in /proc/stat")
    share = 100 * (after.stolen - before.stolen) / max(after.total - before.total, 1)
    found = f"{share:.1f} % of CPU time stolen"
    if share < STOLEN:
        return about("ok", found)
    return about("warn", found, "use a machine or an instance type with dedicated CPUs")


def busiest(before: Counters, after: Counters, seconds: float, most: int = 3) -> Check:
    """Check which other processes used the most CPU time between two readings."""
    about = Topic("other work", "all metrics: they use the same caches as the slices, or the same CPUs")
    ticks = os.sysconf("SC_CLK_TCK") * max(seconds, 1e-9)
    shares = {
        who: (used - before.used[who]) / ticks
        for who, used in after.used.items()
        if who in before.used and who[0] != os.getpid()
    }
    if not after.used:
        return about("unknown", "no processes in /proc")
    busy = sorted(((share, who) for who, share in shares.items() if share >= BUSY), reverse=True)
    if not busy:
        return about("ok", f"{len(after.used)} processes, none above {BUSY:.0%} of a CPU")
    named = ", ".join(f"{name} ({pid}) {share:.0%} of a CPU" for share, (pid, name) in busy[:most])
    fix = "stop these while measuring: " + " ".join(str(pid) for _, (pid, _) in busy[:most])
    return about("warn", named, fix)


def read(root: Path) -> Counters:
    """Read the counters; they are empty without /proc."""
    fields = text(root / "proc/stat").split("\n", 1)[0].split()[1:]
    ticks = [int(field) for field in fields[:8] if field.isdigit()]
    used: dict[tuple[int, str], int] = {}
    for entry in (root / "proc").glob("[0-9]*/stat"):
        found = re.match(r"(\d+) \((.*)\) \S(.*)", text(entry), re.DOTALL)
        rest = found[3].split() if found else []
        if found and len(rest) > 12:
            used[int(found[1]), found[2]] = int(rest[10]) + int(rest[11])
    whole = len(ticks) == 8
    return Counters(stolen=ticks[7] if whole else None, total=sum(ticks), used=used)
