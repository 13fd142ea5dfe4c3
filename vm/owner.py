"""Who made a thing: process id and start time, so that a number used again is not taken for its maker."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec


class Owner(msgspec.Struct, frozen=True):
    """A process, told apart from later ones with its number by its start time in clock ticks since boot."""

    pid: int
    starttime: int

    def alive(self) -> bool:
        """Whether that very process still runs (a zombie does not)."""
        return _starttime(self.pid) == self.starttime

    def __str__(self) -> str:
        return f"{self.pid}:{self.starttime}"


def current() -> Owner:
    """The calling process."""
    return of(os.getpid())


def of(pid: int) -> Owner:
    """A running process; start time 0 when there is none, so that it counts as dead."""
    return Owner(pid, _starttime(pid) or 0)


def parse(text: str) -> Owner | None:
    """Read what `str(owner)` wrote; None for anything else."""
    pid, _, start = text.strip().partition(":")
    return Owner(int(pid), int(start)) if pid.isdecimal() and start.isdecimal() else None


def _starttime(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])
