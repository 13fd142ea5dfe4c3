"""CPU time of the whole host: the cost of a transfer, wherever it arises.

The work of a transfer is spread over the program, its peer, QEMU, and soft interrupts of the kernel, which
are accounted to either program or to none. So the time of all CPUs is counted, less what was not the
transfer:

    busy = CPUs x wall - idle - stolen - other processes

`/proc/stat` counts idle time in steps of 10 ms, a tenth of what a slice uses. `/proc/timer_list` (root only)
has it in nanoseconds, if the kernel shows it. An idle CPU's sum is updated only when it wakes up, so the
reader first runs on every CPU. Stolen is what a hypervisor took; other processes include this one.
"""

from __future__ import annotations

import contextlib
import os
import re
import time
from pathlib import Path

import msgspec

from bench.scenarios.other_processes import OtherProcesses, spent_ns

_TIMERS = Path("/proc/timer_list")
_STAT = Path("/proc/stat")
_IDLE = re.compile(rb"^ *\.(?:idle|iowait)_sleeptime *: (\d+) nsecs", re.MULTILINE)
_OTHERS = OtherProcesses()
MANY_CPUS = 64
"""With more CPUs the list is so long that reading it would disturb the slice."""


class Busy(msgspec.Struct, frozen=True):
    """A reading of the host's CPUs, ns: CLOCK_MONOTONIC; idle and stolen time summed over CPUs; their number.

    `others` are the CPU times of other processes, by pid.
    """

    at_ns: int
    idle_ns: int
    cpus: int
    stolen_ns: int = 0
    others: dict[int, int] = {}

    def since(self, earlier: Busy) -> float:
        """Return busy CPU seconds since an earlier reading; rounding errors below 0 become 0."""
        wall = (self.at_ns - earlier.at_ns) * self.cpus
        unused = self.idle_ns - earlier.idle_ns + self.stolen_ns - earlier.stolen_ns
        return max(0, wall - unused - spent_ns(earlier.others, self.others)) / 1e9


def read() -> Busy:
    """Read the CPUs' idle time, with the resolution that this kernel offers."""
    cpus = os.cpu_count() or 1
    idle_ns, stolen_ns = parse_stat(_STAT.read_text(), os.sysconf("SC_CLK_TCK"))
    if cpus <= MANY_CPUS:
        _wake_all()
        with contextlib.suppress(OSError):
            idle_ns = parse_timers(_TIMERS.read_bytes()) or idle_ns
    return Busy(time.monotonic_ns(), idle_ns, cpus, stolen_ns, _OTHERS.read())


def parse_timers(text: bytes) -> int | None:
    """Return the sum of all CPUs' idle times in /proc/timer_list, ns; None if the kernel does not list
    them."""
    found = _IDLE.findall(text)
    return sum(map(int, found)) if found else None


def parse_stat(text: str, ticks_per_s: int) -> tuple[int, int]:
    """Return idle (with iowait) and stolen time from the first line of /proc/stat, ns."""
    fields = text.split("\n", 1)[0].split()
    tick_ns = 1_000_000_000 // ticks_per_s
    return (int(fields[4]) + int(fields[5])) * tick_ns, int(fields[8]) * tick_ns


def _wake_all() -> None:
    """Run briefly on every allowed CPU, so that each ends its idle period and counts it."""
    allowed = os.sched_getaffinity(0)
    try:
        for cpu in allowed:
            os.sched_setaffinity(0, {cpu})
    finally:
        os.sched_setaffinity(0, allowed)
