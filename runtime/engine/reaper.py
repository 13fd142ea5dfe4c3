"""A child seen through its pidfd: wait for it, once, from any number of threads; signal it without a race."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Sequence
from typing import overload

_SLICE_S = 0.05


class Child:
    """A process this process has started. Owns the pidfd. Safe for use by several threads."""

    def __init__(self, pid: int, pidfd: int) -> None:
        self.pid = pid
        self.pidfd = pidfd
        """The pidfd, -1 once the process was reaped; readable when it has ended."""
        self._lock = threading.Lock()
        self._code: int | None = None

    @property
    def exit_code(self) -> int | None:
        """The exit status, 128 + signal for a signal death, None while it runs (or nobody has waited)."""
        return self._code

    @overload
    def wait(self, timeout_s: None = None) -> int: ...

    @overload
    def wait(self, timeout_s: float) -> int | None: ...

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the end and return the exit status; None when `timeout_s` passes first."""
        if self._code is not None:
            return self._code
        try:
            # A duplicate: another waiter may close the pidfd while this one sleeps.
            fd = os.dup(self.pidfd)
        except OSError:
            return self._code
        try:
            poll = select.poll()
            poll.register(fd, select.POLLIN)
            if not poll.poll(None if timeout_s is None else max(0, timeout_s) * 1000):
                return None
        finally:
            os.close(fd)
        return self._reap()

    def poll(self) -> int | None:
        """Return the exit status without waiting, None while it runs."""
        return self.wait(0)

    def _reap(self) -> int:
        with self._lock:
            if self._code is None:
                info = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
                assert info is not None
                killed = info.si_code != os.CLD_EXITED
                self._code = 128 + info.si_status if killed else info.si_status
                os.close(self.pidfd)
                self.pidfd = -1
            return self._code

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal; nothing happens to a process that has ended."""
        with self._lock, contextlib.suppress(ProcessLookupError):
            if self.pidfd >= 0:
                signal.pidfd_send_signal(self.pidfd, number)


def wait_for(child: Child, joined: Sequence[Child], timeout_s: float | None) -> int | None:
    """Wait for `child`, the pid 1 of a namespace; None when `timeout_s` passes first.

    A pid 1 is not over before all processes of its namespace are reaped, and those that joined it are this
    process's children: they are reaped on the way. `joined` may grow meanwhile, so it is looked at again.
    """
    deadline = None if timeout_s is None else time.monotonic() + timeout_s
    while True:
        for other in joined:
            other.poll()
        left = _SLICE_S if deadline is None else min(_SLICE_S, max(0.0, deadline - time.monotonic()))
        code = child.wait(left)
        if code is not None or (deadline is not None and time.monotonic() >= deadline):
            return code


class Process(Child):
    """A program started by Container.exec(). tty_fd: the host's end of its terminal, -1 without one."""

    def __init__(self, pid: int, pidfd: int, tty_fd: int = -1) -> None:
        super().__init__(pid, pidfd)
        self.tty_fd = tty_fd
