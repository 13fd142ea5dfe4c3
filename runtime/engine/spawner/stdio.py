"""Pipes and terminals of a program: the program's ends, and those that the spawner keeps."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence

from runtime.engine.spawner.framing import close_all


class Stdio:
    """Three pipes (two, and /dev/null, without stdin). Made before a start, settled by kept() or close().

    child: the program's descriptors 0, 1, 2 as they are now; -1 is /dev/null.
    """

    def __init__(self, *, stdin: bool) -> None:
        self.child: tuple[int, int, int] = (-1, -1, -1)
        self._kept: list[int] = []
        self._opened: list[int] = []
        try:
            read, write = self._pipe() if stdin else (-1, -1)
            out, err = self._pipe(), self._pipe()
        except BaseException:
            self.close()
            raise
        self.child = (read, out[1], err[1])
        self._kept = [fd for fd in (write, out[0], err[0]) if fd >= 0]

    def _pipe(self) -> tuple[int, int]:
        pipe = os.pipe2(os.O_CLOEXEC)
        self._opened += pipe
        return pipe

    def kept(self) -> list[int]:
        """Close the program's ends; return ours: stdin (if there is one), stdout, stderr."""
        close_all([fd for fd in self.child if fd >= 0])
        self._opened = []
        return self._kept

    def close(self) -> None:
        """Close all, when nothing was started. Does nothing after kept()."""
        close_all(self._opened)
        self._opened = []


class KeptStdio:
    """The spawner's copies of a program's stdio, which let it live on while nobody reads."""

    def __init__(self, fds: Sequence[int], *, tty: bool, stdin: bool) -> None:
        self.fds = list(fds)
        self.tty = tty
        self.stdin = stdin and not tty
        """Whether the first descriptor is stdin."""

    def close_stdin(self) -> None:
        """Close its stdin; a terminal has no separate one."""
        if self.stdin:
            self.stdin = False
            os.close(self.fds.pop(0))

    def close(self) -> None:
        """Close all. Idempotent."""
        with contextlib.suppress(OSError):
            close_all(self.fds)
        self.fds, self.stdin = [], False
