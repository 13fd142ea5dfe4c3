"""A process with a terminal of its own, as a user at a keyboard has it."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import termios
from collections.abc import Mapping, Sequence

_PATIENCE_S = 60


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
            self._read(wanted)

    def until_prompt(self, after: bytes) -> None:
        """Read until a shell waits for keys again, which makes its terminal raw; what is typed before that
        meets a line's rules: control-d is then an end and no key."""
        self.until(after)
        while b"# " not in self.seen.rpartition(after)[2]:
            self._read(b"# ")

    def _read(self, wanted: bytes) -> None:
        assert select.select([self.fd], [], [], _PATIENCE_S)[0], self.seen
        try:
            self.seen += os.read(self.fd, 4096)
        except OSError:  # the process has ended
            raise AssertionError(f"it ended without {wanted!r}: {self.seen!r}") from None

    def hang_up(self) -> int:
        """Close the window; the exit status of what ran in it, negative for the signal that ended it."""
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def end(self) -> int:
        """Read all that comes, and return the exit status."""
        try:
            while True:
                assert select.select([self.fd], [], [], _PATIENCE_S)[0], self.seen
                self.seen += os.read(self.fd, 4096)
        except OSError:  # its side is closed
            pass
        os.close(self.fd)
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
