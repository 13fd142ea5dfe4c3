"""The owner of a resource on the host, so that a sweep frees what dead processes left and nothing else.

An owner is a process: its pid, its start time, and the pid namespace in which both were read. Its text form
(`4711-8812345-f0000000`) is part of the names of cgroups and nft tables and of the alias of links: the
resource itself names its owner, and no state file can contradict it. Imports only the standard library and
msgspec.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

_TEXT = re.compile(r"(\d+)[-_](\d+)[-_]([0-9a-f]+)")
_PF_EXITING = 4


class Owner(msgspec.Struct, frozen=True):
    """A process on this host. `start` is in clock ticks since boot, `pid_namespace` an inode number."""

    pid: int
    start: int
    pid_namespace: int

    def __str__(self) -> str:
        return f"{self.pid}-{self.start}-{self.pid_namespace:x}"

    @classmethod
    def current(cls) -> Owner:
        """Return this process as an owner."""
        pid = os.getpid()
        start = _start_ticks(pid)
        if start is None:
            raise RuntimeError("/proc/self/stat cannot be read; mount /proc before using the runtime")
        return cls(pid, start, _pid_namespace())

    @classmethod
    def of(cls, pid: int) -> Owner | None:
        """Return the process `pid` of this pid namespace as an owner, None when there is no such process."""
        start = _start_ticks(pid)
        return None if start is None else cls(pid, start, _pid_namespace())

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """Find an owner, as written by str() or with `_` for `-`, inside `text`; None if there is none."""
        found = _TEXT.search(text)
        if not found:
            return None
        return cls(int(found[1]), int(found[2]), int(found[3], 16))

    def is_alive(self) -> bool:
        """Return whether this process still runs; a pid of another pid namespace counts as alive.

        A zombie or an exiting process counts as dead: it frees nothing any more, and its closed socket may be
        what the caller noticed first. Pids are reused, hence the start time.
        """
        if self.pid_namespace != _pid_namespace():
            return True
        return _start_ticks(self.pid) == self.start


def _start_ticks(pid: int) -> int | None:
    try:
        return _ticks_in(Path(f"/proc/{pid}/stat").read_bytes())
    except (FileNotFoundError, ProcessLookupError):
        return None


def _ticks_in(stat: bytes) -> int | None:
    """Return the start time from a /proc/PID/stat, None if the process is exiting or a zombie."""
    fields = stat[stat.rindex(b")") + 2 :].split()
    gone = fields[0] in (b"Z", b"X") or int(fields[6]) & _PF_EXITING
    return None if gone else int(fields[19])


def _pid_namespace() -> int:
    return Path("/proc/self/ns/pid").stat().st_ino
