"""CPU time of processes that have nothing to do with a transfer, to be subtracted from the host's.

These are this process itself, and processes of the host that do not descend from it. Kernel threads are not
among them, because their work may belong to the transfer; nor are processes in another pid namespace, which
may be the container of a daemon that was running before. Processes that start and end within a window are
missed; the background measurement covers them.
"""

from __future__ import annotations

import os
from pathlib import Path

_KTHREADD = 2


class OtherProcesses:
    """Finds these processes and reads their CPU time; remembers them, because a process's parent may
    change."""

    def __init__(self, own: int | None = None, proc: Path = Path("/proc")) -> None:
        self._own = os.getpid() if own is None else own
        self._proc = str(proc)
        self._known: dict[int, bool] = {}

    def read(self) -> dict[int, int]:
        """Return nanoseconds on a CPU so far, by pid."""
        pids = [int(name) for name in os.listdir(self._proc) if name.isdigit()]  # noqa: PTH208 - a Path each is slow
        self._known = {pid: self._known[pid] for pid in pids if pid in self._known}
        return {pid: self._on_cpu_ns(pid) for pid in pids if self._is_other(pid)}

    def _is_other(self, pid: int) -> bool:
        known = self._known.get(pid)
        if known is None:
            known = self._known[pid] = self._classify(pid)
        return known

    def _classify(self, pid: int) -> bool:
        if pid == self._own:
            return True
        parent = self._parent(pid)
        if pid == _KTHREADD or parent in (None, _KTHREADD) or not self._same_pid_namespace(pid):
            return False
        seen = {pid}
        while parent and parent not in seen:
            if parent == self._own:
                return False
            seen.add(parent)
            parent = self._parent(parent)
        return True

    def _parent(self, pid: int) -> int | None:
        stat = self._read(f"{pid}/stat")
        return int(stat[stat.rindex(b")") + 2 :].split()[1]) if stat else None

    def _same_pid_namespace(self, pid: int) -> bool:
        try:
            theirs = Path(f"{self._proc}/{pid}/ns/pid").readlink()
            return theirs == Path(f"{self._proc}/{self._own}/ns/pid").readlink()
        except OSError:
            return True

    def _on_cpu_ns(self, pid: int) -> int:
        """Return the sum over its threads; 0 if the kernel does not count it, or the process is gone."""
        try:
            threads = os.listdir(f"{self._proc}/{pid}/task")  # noqa: PTH208 - as above
        except OSError:
            return 0
        counts = (self._read(f"{pid}/task/{thread}/schedstat") for thread in threads)
        return sum(int(count.split()[0]) for count in counts if count)

    def _read(self, name: str) -> bytes:
        try:
            descriptor = os.open(f"{self._proc}/{name}", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            return b""
        try:
            return os.read(descriptor, 4096)
        except OSError:
            return b""
        finally:
            os.close(descriptor)


def spent_ns(earlier: dict[int, int], later: dict[int, int]) -> int:
    """Return the CPU time between two readings of the processes in the later one; new ones count in full."""
    return sum(max(0, now - earlier.get(pid, 0)) for pid, now in later.items())
