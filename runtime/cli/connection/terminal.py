"""Our terminal: its size, and raw mode for a program that has a terminal. Imported only with -t."""

from __future__ import annotations

import contextlib
import os
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_IN = termios.BRKINT | termios.ICRNL | termios.INPCK | termios.ISTRIP | termios.IXON
_LOCAL = termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG


def size() -> list[int] | None:
    """Return rows and columns of our terminal, None without one."""
    for fd in (1, 0, 2):
        try:
            columns, rows = os.get_terminal_size(fd)
        except OSError:
            continue
        if rows and columns:
            return [rows, columns]
    return None


def make_raw(fd: int) -> Callable[[], None] | None:
    """Make a terminal raw; return what restores it, None when `fd` is not a terminal."""
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
