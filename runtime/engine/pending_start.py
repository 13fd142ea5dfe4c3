"""A program between its clone and its execve, while its starter does other work."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable
from typing import Generic, TypeVar

from runtime.engine.reaper import Child, is_readable
from runtime.spawn.tape import Paused, Spawned, StepError, StepKilledError

T = TypeVar("T")
_DEATH_S = 1.0


class Pending(Generic[T]):
    """Given by Container.begin() and begin_exec(). Call finish(), once.

    Only the new process itself waits for a disk or file system that does not answer. fd: readable once
    finish() does not block any more.
    """

    def __init__(self, paused: Paused, settle: Callable[[Callable[[], Spawned]], T]) -> None:
        self._paused = paused
        self._settle = settle
        self._given_up = False
        self.fd, self.pid = paused.done_fd, paused.pid

    def finish(self) -> T:
        """Wait for the execve, and return its result. Raises EngineError; nothing is left behind then."""
        return self._settle(self._executed)

    def _executed(self) -> Spawned:
        spawned = self._paused.finish()
        if self._given_up:  # killed in its execve or after it: the tape does not show which
            Child(*spawned).wait(_DEATH_S)
            raise StepKilledError("execve", signal.SIGKILL)
        return spawned

    def abandon(self, patience_s: float) -> bool:
        """Kill it and wait for its end, instead of finish().

        False: it is stuck in the kernel and left there.
        """
        self.kill()
        if not is_readable(self.fd, patience_s):
            return False
        with contextlib.suppress(StepError, StepKilledError):
            self._executed()
        return True

    def kill(self) -> None:
        """Give up: finish() will raise."""
        self._given_up = True
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._paused.pidfd, signal.SIGKILL)
