"""How much other work disturbed a slice: CPU pressure (PSI) and stolen time, both as shares of the slice.

Read twice a slice, some 20 µs each; None where the kernel does not tell.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

PRESSURE = Path("/proc/pressure/cpu")
STAT = Path("/proc/stat")


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """Counters since boot, microseconds: tasks waited for a CPU; the hypervisor ran somebody else."""

    stall_us: int | None
    steal_us: int | None


def read(pressure: Path = PRESSURE, stat: Path = STAT) -> Reading:
    """The counters now."""
    return Reading(stall_us=_stall_us(pressure), steal_us=_steal_us(stat))


def shares(before: Reading, after: Reading, duration_ns: int, cpus: int) -> tuple[float | None, float | None]:
    """(stall, steal) as shares of the time between two readings, 0..1; steal over all CPUs."""
    wall_us = max(duration_ns / 1000, 1.0)
    stall = _share(before.stall_us, after.stall_us, wall_us)
    return stall, _share(before.steal_us, after.steal_us, wall_us * max(1, cpus))


def _share(before: int | None, after: int | None, wall_us: float) -> float | None:
    if before is None or after is None:
        return None
    return round(min(1.0, max(0.0, (after - before) / wall_us)), 4)


def _stall_us(path: Path) -> int | None:
    try:
        some = path.read_text().splitlines()[0]
        return int(some.rsplit("total=", 1)[1])
    except (OSError, IndexError, ValueError):
        return None


def _steal_us(path: Path) -> int | None:
    try:
        with path.open() as file:
            ticks = int(file.readline().split()[8])
    except (OSError, IndexError, ValueError):
        return None
    return ticks * 1_000_000 // os.sysconf("SC_CLK_TCK")
