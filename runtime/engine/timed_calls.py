"""Make system calls that may hang in the kernel for ever, in another process that is left there.

A call on a path of a dead network file system waits where no signal reaches it.
"""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Mapping

from runtime.engine.reaper import is_readable
from runtime.spawn.tape import Paused, SlotValue, StepError, StepKilledError, Tape

_hanging: list[Paused] = []
"""They share this process's memory, which holds their steps."""


def returns(tape: Tape, slots: Mapping[str, SlotValue], patience_s: float) -> bool:
    """Say whether all calls of a tape return in time, whatever they return. Its last one is exit_group."""
    for child in [hung for hung in _hanging if is_readable(hung.done_fd, 0)]:
        _hanging.remove(child)
        _reap(child)
    child = Paused(tape, slots, 0, None)
    if is_readable(child.done_fd, patience_s):
        _reap(child)
        return True
    signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
    _hanging.append(child)
    return False


def _reap(child: Paused) -> None:
    with contextlib.suppress(StepError, StepKilledError):  # it has no execve that could succeed
        child.finish()
