"""Being told that the memory of a cgroup has run out, while its processes live on."""

from __future__ import annotations

import errno
import os
import select
from pathlib import Path

from runtime.spawn.cgroups.layout import Layout


class OomWatch:
    """Watches the memory of the cgroup that a process is in. `fd` can be read once happened() is to be asked.

    v1 tells of each time it was full, v2 counts those killed for it. What was before is told once, too.
    Raises OSError where nobody tells.
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
        # What changed is "urgent" until it is read; a loop that only waits for readable ones sees the poll's.
        self._poll = select.epoll()
        self._poll.register(self._file, select.EPOLLPRI)
        return self._poll.fileno()

    def happened(self) -> bool:
        """Say whether the memory ran out since this was asked last. Never waits.

        Raises OSError once the cgroup is gone; `fd` stays readable then.
        """
        before, self._kills = self._kills, self._count()
        if not self._is_v1:
            return self._kills > before
        first, self._first = self._first, False  # later ones are counted only after they were told
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
        """Watch no more. Call it once."""
        if self._is_v1:
            os.close(self.fd)
        else:
            self._poll.close()
        os.close(self._file)


def memory_group(text: str, layout: Layout) -> tuple[str, bool]:
    """Return where the process of a /proc/PID/cgroup has its memory accounted, and whether v1 does it."""
    paths = {name: path for _, names, path in _rows(text) for name in names.split(",")}
    if "memory" in layout.v1 and "memory" in paths:
        return layout.v1["memory"] + paths["memory"], True
    if layout.v2 is None or "" not in paths:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT), "memory")
    return layout.v2 + paths[""], False


def _rows(text: str) -> list[tuple[str, str, str]]:
    rows = (line.split(":", 2) for line in text.splitlines())
    return [(row[0], row[1], row[2]) for row in rows]
