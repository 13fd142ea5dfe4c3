"""Between our terminal and the container's: signals, bytes, window size, until the program ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import termios
import threading
import time
import tty

from runtime.engine.container import Container

_CHUNK = 65536
GRACE_S = 5.0
"""What a program gets to end by itself when its terminal is gone."""
# Not these: job control stays ours, SIGCHLD and SIGPIPE say something about us, SIGURG is of no use.
_JOB_CONTROL = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGCONT}
_KEPT = _JOB_CONTROL | {signal.SIGKILL, signal.SIGCHLD, signal.SIGPIPE, signal.SIGURG, signal.SIGWINCH}
FORWARDED = tuple(number for number in signal.Signals if number not in _KEPT and number < signal.SIGRTMIN)


class Session:
    """One run of a container in the foreground. close() puts terminal and signals back; idempotent.

    Without a terminal the program has our own descriptors, so no byte passes through us.
    """

    def __init__(self, container: Container, *, interactive: bool) -> None:
        self._container = container
        self._interactive = interactive
        self._wake, self._wake_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._ended, self._ended_write = os.pipe2(os.O_CLOEXEC)
        self._old_handlers: dict[int, object] = {}
        self._old_wakeup = -1
        self._old_terminal: list[object] | None = None
        self._deadline: float | None = None
        self._catch_signals()  # before the start: a signal that comes meanwhile waits in the pipe

    def stdio(self) -> tuple[int, int, int]:
        """Descriptors for the program."""
        return (0 if self._interactive else -1, 1, 2)

    def run(self) -> int:
        """Serve the started container to its end; return its exit status."""
        self._take_terminal()
        waiter = threading.Thread(target=self._wait, name="nn-wait")
        waiter.start()
        try:
            self._serve()
        finally:
            waiter.join()
        return self._container.wait() or 0

    def _wait(self) -> None:
        try:
            self._container.wait()
        finally:
            os.write(self._ended_write, b".")

    # ---- the loop --------------------------------------------------------------------------------------

    def _serve(self) -> None:
        terminal = self._container.tty_fd
        readers = [self._wake, self._ended]
        if terminal >= 0:
            readers.append(terminal)
            if self._interactive:
                readers.append(0)
        while True:
            ready = select.select(readers, [], [], self._patience())[0]
            if self._wake in ready:
                self._forward_signals()
            if terminal in ready and not _copy(terminal, 1):
                readers.remove(terminal)
            if 0 in ready and not _copy(0, terminal):
                readers.remove(0)
            if self._ended in ready:
                break
        if terminal in readers:
            self._drain(terminal)

    def _drain(self, terminal: int) -> None:
        """Pass on what the program had written before it ended."""
        while select.select([terminal], [], [], 0)[0] and _copy(terminal, 1):
            pass

    def _patience(self) -> float | None:
        """Seconds to wait for something to happen; kill a program that outlived its terminal."""
        if self._deadline is None:
            return None
        left = self._deadline - time.monotonic()
        if left > 0:
            return left
        self._deadline = None
        self._container.kill(signal.SIGKILL)
        return None

    def _forward_signals(self) -> None:
        for number in os.read(self._wake, _CHUNK):
            if number == signal.SIGWINCH:
                self._resize()
                continue
            self._container.kill(number)
            if number == signal.SIGHUP and self._container.tty_fd >= 0 and self._interactive:
                # As pid 1 it ignores what it does not handle, and nobody could reach it any more.
                self._deadline = time.monotonic() + GRACE_S

    # ---- our side --------------------------------------------------------------------------------------

    def _catch_signals(self) -> None:
        self._old_wakeup = signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)
        for number in (*FORWARDED, signal.SIGWINCH):
            with contextlib.suppress(OSError, ValueError):
                self._old_handlers[number] = signal.signal(number, lambda *_: None)

    def _take_terminal(self) -> None:
        if self._container.tty_fd < 0:
            return
        self._resize()
        if self._interactive and os.isatty(0):
            self._old_terminal = termios.tcgetattr(0)
            tty.setraw(0)

    def _resize(self) -> None:
        if self._container.tty_fd < 0:
            return
        for fd in (0, 1, 2):
            with contextlib.suppress(OSError):
                size = fcntl.ioctl(fd, termios.TIOCGWINSZ, bytes(8))
                rows, columns, _, _ = struct.unpack("HHHH", size)
                if rows and columns:
                    self._container.resize(rows, columns)
                    return

    def close(self) -> None:
        """Put everything back."""
        if self._old_terminal is not None:
            with contextlib.suppress(termios.error):  # it may be gone
                termios.tcsetattr(0, termios.TCSADRAIN, self._old_terminal)  # type: ignore[arg-type]
            self._old_terminal = None
        if self._old_handlers:
            signal.set_wakeup_fd(self._old_wakeup)
        for number, handler in self._old_handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        self._old_handlers.clear()
        for fd in (self._wake, self._wake_write, self._ended, self._ended_write):
            if fd >= 0:
                os.close(fd)
        self._wake = self._wake_write = self._ended = self._ended_write = -1


def _copy(source: int, target: int) -> bool:
    """Copy what is there; False at the end of either side (a terminal whose program is gone says EIO)."""
    try:
        data = os.read(source, _CHUNK)
        left = data
        while left:
            left = left[os.write(target, left) :]
    except OSError:
        return False
    return bool(data)
