"""Wait for and signal children by their pidfds: once, from any number of threads, without a race.

A thread that calls ptrace(PTRACE_TRACEME) makes its parent its tracer, which is this process for all threads
of a program it has started. Such a thread stops at each signal until its tracer detaches, and once dead keeps
its whole process from ending until its tracer has reaped it, by its own id and with __WALL: ptrace(2), "Death
under ptrace". So traced threads are detached as soon as they stop, and reaped when they are dead.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import overload

from runtime.spawn.tape import Slot, StepError, Tape

_SLICE_S = 0.05
_WALL = 0x40000000
"""__WALL of wait(2): threads too."""
_PTRACE_DETACH = 17
_ENDS = (os.CLD_EXITED, os.CLD_KILLED, os.CLD_DUMPED)


class Child:
    """A child process. Owns the pidfd. Safe for use by several threads."""

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
        return wait_for(self, (), timeout_s)

    def poll(self) -> int | None:
        """Return the exit status without waiting; None while it runs, or while another tracer keeps it."""
        with self._lock:
            while self._code is None:
                info = os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)
                if info is None:
                    return None
                self._take(info)
            return self._code

    def _take(self, info: os.waitid_result) -> None:
        if info.si_code not in _ENDS:
            _let_go(self.pid, info.si_status)
            return
        self._code = info.si_status if info.si_code == os.CLD_EXITED else 128 + info.si_status
        os.close(self.pidfd)
        self.pidfd = -1

    def pause(self, longest_s: float) -> None:
        """Sleep until it has ended, for `longest_s` at most; handle its traced threads."""
        if is_readable(self.pidfd, longest_s):
            if self.poll() is None:  # the tracer that keeps it is another process
                time.sleep(longest_s)
        elif peek() is not None:
            self._settle_threads()

    def _settle_threads(self) -> None:
        with self._lock, contextlib.suppress(FileNotFoundError):
            if self._code is None:
                for task in Path(f"/proc/{self.pid}/task").iterdir():
                    if int(task.name) != self.pid:
                        settle(int(task.name))

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
    while (code := child.poll()) is None:
        left = _SLICE_S if deadline is None else deadline - time.monotonic()
        if left <= 0:
            return None
        child.pause(min(_SLICE_S, left))
        for other in joined:
            if other.poll() is None:
                other.pause(0)
    return code


def is_readable(fd: int, longest_s: float) -> bool:
    """Say whether a descriptor is readable within `longest_s`. Not once it is closed."""
    try:
        # A duplicate: another waiter may close a pidfd while this one sleeps.
        fd = os.dup(fd)
    except OSError:
        return False
    try:
        poll = select.poll()
        poll.register(fd, select.POLLIN)
        return bool(poll.poll(longest_s * 1000))
    finally:
        os.close(fd)


def peek() -> int | None:
    """Return the id of a child, or of a thread traced by this process, that can be waited for."""
    with contextlib.suppress(ChildProcessError):
        info = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT | _WALL)
        return info.si_pid if info is not None else None
    return None


def settle(pid: int) -> None:
    """Reap a child or a traced thread that has ended, or detach from one that has stopped for its tracer."""
    with contextlib.suppress(ChildProcessError):
        info = os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | _WALL)
        if info is not None and info.si_code not in _ENDS:
            _let_go(pid, info.si_status)


def _let_go(tid: int, number: int) -> None:
    """Detach from a stopped thread; it gets its signal, except the SIGTRAP of an execve.

    ESRCH: it was killed, or is traced by another thread of this process, whose end detaches it.
    """
    with contextlib.suppress(StepError):
        _detach().walk({"tid": tid, "signal": 0 if number == signal.SIGTRAP else number})


@functools.cache
def _detach() -> Tape:
    tape = Tape()
    tape.add("let a traced thread go", "ptrace", _PTRACE_DETACH, Slot("tid"), 0, Slot("signal"))
    return tape


class Process(Child):
    """A program started by Container.exec(). tty_fd: the host's end of its terminal, -1 without one."""

    def __init__(self, pid: int, pidfd: int, tty_fd: int = -1) -> None:
        super().__init__(pid, pidfd)
        self.tty_fd = tty_fd
