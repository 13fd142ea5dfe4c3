"""A process with a terminal of its own, as a user at a keyboard has it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
from collections.abc import Mapping, Sequence

_PATIENCE_S = 20


class Terminal:
    """The user's side: what is typed goes in by send(), what is shown is in `seen`."""

    def __init__(self, line: Sequence[str], env: Mapping[str, str]) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
            os.execvpe(line[0], list(line), dict(env))
        self.seen = b""

    def send(self, data: bytes) -> None:
        """Type."""
        os.write(self.fd, data)

    def resize(self, rows: int, columns: int) -> None:
        """Change the window; the kernel tells the process by SIGWINCH."""
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def until(self, wanted: bytes) -> None:
        """Read until this is shown."""
        while wanted not in self.seen:
            assert select.select([self.fd], [], [], _PATIENCE_S)[0], self.seen
            try:
                self.seen += os.read(self.fd, 4096)
            except OSError:  # the process has ended
                raise AssertionError(f"it ended without {wanted!r}: {self.seen!r}") from None

    def end(self) -> int:
        """Read all that comes, and return the exit status."""
        try:
            while select.select([self.fd], [], [], _PATIENCE_S)[0]:
                self.seen += os.read(self.fd, 4096)
        except OSError:
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
