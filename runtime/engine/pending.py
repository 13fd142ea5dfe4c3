"""A program on its way to its execve, while who started it does something else."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable
from typing import Generic, TypeVar

from runtime.spawn.tape import Paused, Spawned, StepError, StepKilledError

T = TypeVar("T")


class Pending(Generic[T]):
    """Given by Container.begin() and begin_exec(). Call finish(), once.

    Nothing waits for a disk or a file system that does not answer but the new process itself. fd: can be read
    once finish() will not wait any more.
    """

    def __init__(self, paused: Paused, settle: Callable[[Callable[[], Spawned]], T]) -> None:
        self._paused = paused
        self._settle = settle
        self._given_up = False
        self.fd = paused.done_fd

    def finish(self) -> T:
        """Wait for the execve, and return what was begun. Raises EngineError; nothing is then left behind."""
        return self._settle(self._executed)

    def _executed(self) -> Spawned:
        spawned = self._paused.finish()
        if self._given_up:  # killed in its execve or after it: the tape cannot tell
            os.waitid(os.P_PIDFD, spawned.pidfd, os.WEXITED)
            os.close(spawned.pidfd)
            raise StepKilledError("execve", signal.SIGKILL)
        return spawned

    def abandon(self) -> None:
        """Kill it and wait for that; instead of finish()."""
        self.kill()
        with contextlib.suppress(StepError, StepKilledError):
            self._executed()

    def kill(self) -> None:
        """Give up: finish() will raise."""
        self._given_up = True
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._paused.pidfd, signal.SIGKILL)
