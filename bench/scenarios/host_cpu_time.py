"""CPU time of the whole host, whoever uses it: what a transfer costs beyond the program that asked for it.

A transfer's work is spread over the program, its peer, the kernel's soft interrupts on either's account or on
nobody's, and QEMU. So what is counted is what is left when idle time is taken away, over all CPUs:

    busy = CPUs x wall - idle - stolen - bystanders

`/proc/stat` counts idle time in steps of 10 ms, a tenth of what a slice uses. `/proc/timer_list` (root) has
it in nanoseconds, where the kernel shows it; an idle CPU's sum is brought up to date by waking it, so the
reader visits every CPU first. Stolen is what a hypervisor took; bystanders are processes of others, and this
one.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

import msgspec

from bench.scenarios.idle_containers import Bystanders, spent_ns

_TIMERS = Path("/proc/timer_list")
_STAT = Path("/proc/stat")
_IDLE = re.compile(rb"^ *\.(?:idle|iowait)_sleeptime *: (\d+) nsecs", re.MULTILINE)
_BYSTANDERS = Bystanders()
MANY_CPUS = 64
"""Beyond so many CPUs the list is so long that reading it would disturb the slice more than it tells."""


class Busy(msgspec.Struct, frozen=True):
    """A reading of the host's CPUs, ns: CLOCK_MONOTONIC; idle and stolen time summed over CPUs; their number.

    `bystanders` are the CPU times of other processes, by pid.
    """

    at_ns: int
    idle_ns: int
    cpus: int
    stolen_ns: int = 0
    bystanders: dict[int, int] = {}

    def since(self, earlier: Busy) -> float:
        """Busy CPU seconds since an earlier reading; not below 0, which rounding could give."""
        wall = (self.at_ns - earlier.at_ns) * self.cpus
        unused = self.idle_ns - earlier.idle_ns + self.stolen_ns - earlier.stolen_ns
        return max(0, wall - unused - spent_ns(earlier.bystanders, self.bystanders)) / 1e9


def read() -> Busy:
    """Read the CPUs' idle time, as finely as this kernel tells it."""
    cpus = os.cpu_count() or 1
    idle_ns, stolen_ns = parse_stat(_STAT.read_text(), os.sysconf("SC_CLK_TCK"))
    if cpus <= MANY_CPUS:
        _wake_all()
        with contextlib.suppress(OSError):
            idle_ns = parse_timers(_TIMERS.read_bytes()) or idle_ns
    return Busy(time.monotonic_ns(), idle_ns, cpus, stolen_ns, _BYSTANDERS.read())


def parse_timers(text: bytes) -> int | None:
    """Sum of all CPUs' idle times in /proc/timer_list, ns; None when the kernel does not list them."""
    found = _IDLE.findall(text)
    return sum(map(int, found)) if found else None


def parse_stat(text: str, ticks_per_s: int) -> tuple[int, int]:
    """Idle (with iowait) and stolen time of the first line of /proc/stat, ns."""
    fields = text.split("\n", 1)[0].split()
    tick_ns = 1_000_000_000 // ticks_per_s
    return (int(fields[4]) + int(fields[5])) * tick_ns, int(fields[8]) * tick_ns


def _wake_all() -> None:
    """Run for a moment on every CPU we may use, so that each ends its idle period and counts it."""
    allowed = os.sched_getaffinity(0)
    try:
        for cpu in allowed:
            os.sched_setaffinity(0, {cpu})
    finally:
        os.sched_setaffinity(0, allowed)
