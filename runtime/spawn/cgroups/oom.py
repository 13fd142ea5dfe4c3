"""Watch for a cgroup running out of memory while its processes live on."""

from __future__ import annotations

import errno
import os
import select
from pathlib import Path

from runtime.spawn.cgroups.layout import Layout


class OomWatch:
    """Watches the memory of a process's cgroup. When `fd` becomes readable, call happened().

    v1 reports each time that the memory is full, v2 the number of processes killed. An earlier OOM is
    reported once, too. Raises OSError if the kernel does not report any.
    """

    def __init__(self, pid: int, layout: Layout) -> None:
        group, self._is_v1 = memory_group(Path(f"/proc/{pid}/cgroup").read_text("utf-8"), layout)
        self._source = f"{group}/memory.oom_control" if self._is_v1 else f"{group}/memory.events"
        self._file = os.open(self._source, os.O_RDONLY | os.O_CLOEXEC)
        self._kills, self._first = 0, True
        try:
            self.fd = self._ask_v1(group) if self._is_v1 else self._ask_v2()
        except BaseException:
            os.close(self._file)
            raise

    def _ask_v1(self, group: str) -> int:
        told = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        try:
            Path(f"{group}/cgroup.event_control").write_text(f"{told} {self._file}", "ascii")
        except BaseException:
            os.close(told)
            raise
        return told

    def _ask_v2(self) -> int:
        # A change is EPOLLPRI until it is read; for loops that only wait for readable files: the epoll's fd.
        self._poll = select.epoll()
        self._poll.register(self._file, select.EPOLLPRI)
        return self._poll.fileno()

    def happened(self) -> bool:
        """Return whether the memory has run out since the last call. Never waits.

        Raises OSError once the cgroup is gone; `fd` then stays readable.
        """
        before, self._kills = self._kills, self._count()
        if not self._is_v1:
            return self._kills > before
        first, self._first = self._first, False  # later kills are counted only after they were reported
        return self._is_told() or (first and self._kills > 0)

    def _is_told(self) -> bool:
        try:
            return os.eventfd_read(self.fd) > 0
        except BlockingIOError:
            return False

    def _count(self) -> int:
        rows = (line.split() for line in os.pread(self._file, 4096, 0).decode("ascii").splitlines())
        return next((int(row[1]) for row in rows if row[0] == "oom_kill"), 0)

    def close(self) -> None:
        """Stop watching. Call it once."""
        if self._is_v1:
            os.close(self.fd)
        else:
            self._poll.close()
        os.close(self._file)


def memory_group(text: str, layout: Layout) -> tuple[str, bool]:
    """Return the memory cgroup of the process of a /proc/PID/cgroup, and whether it is on v1."""
    paths = {name: path for _, names, path in _rows(text) for name in names.split(",")}
    if "memory" in layout.v1 and "memory" in paths:
        return layout.v1["memory"] + paths["memory"], True
    if layout.v2 is None or "" not in paths:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), "memory")
    return layout.v2 + paths[""], False


def _rows(text: str) -> list[tuple[str, str, str]]:
    rows = (line.split(":", 2) for line in text.splitlines())
    return [(row[0], row[1], row[2]) for row in rows]
