"""The owner of a resource: process id and start time, since process ids are reused."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

MARK = "ninetynine vm of "
"""Precedes an owner in the alias of a tap and the description of a domain."""


class Owner(msgspec.Struct, frozen=True):
    """A process. starttime: in clock ticks since boot, which differs for a later process with the same id."""

    pid: int
    starttime: int

    def alive(self) -> bool:
        """Return whether that process still runs (a zombie does not)."""
        return _starttime(self.pid) == self.starttime

    def __str__(self) -> str:
        return f"{self.pid}:{self.starttime}"


def current() -> Owner:
    """Return the calling process."""
    return of(os.getpid())


def of(pid: int) -> Owner:
    """Return a process; with start time 0, which counts as dead, if it does not run."""
    return Owner(pid, _starttime(pid) or 0)


def parse(text: str) -> Owner | None:
    """Read the result of `str(owner)`; None for anything else."""
    pid, _, start = text.strip().partition(":")
    return Owner(int(pid), int(start)) if pid.isdecimal() and start.isdecimal() else None


def parse_mark(text: str) -> Owner | None:
    """Read MARK and an owner; None for anything else."""
    return parse(text.removeprefix(MARK)) if text.startswith(MARK) else None


def _starttime(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])
