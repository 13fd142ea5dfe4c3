"""Our own terminal: raw while a program behind it has one. Only imported when there is one."""

from __future__ import annotations

import contextlib
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_IN = termios.BRKINT | termios.ICRNL | termios.INPCK | termios.ISTRIP | termios.IXON
_LOCAL = termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG


def make_raw(fd: int) -> Callable[[], None] | None:
    """Make it raw; return what puts it back, None where `fd` is no terminal."""
    try:
        old = termios.tcgetattr(fd)
    except termios.error:
        return None
    raw = list(old)
    raw[0] &= ~_IN
    raw[1] &= ~termios.OPOST
    raw[2] = raw[2] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
    raw[3] &= ~_LOCAL
    raw[6] = list(old[6])
    raw[6][termios.VMIN], raw[6][termios.VTIME] = 1, 0
    termios.tcsetattr(fd, termios.TCSADRAIN, raw)

    def restore() -> None:
        with contextlib.suppress(termios.error):
            termios.tcsetattr(fd, termios.TCSADRAIN, old)

    return restore
