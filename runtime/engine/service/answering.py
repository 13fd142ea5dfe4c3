"""Whether a path's file system answers: another process asks, which can be left where it hangs.

Whoever looks at a path of a dead network file system waits in the kernel, where no signal reaches it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
from collections.abc import Iterable

from runtime.engine.errors import EngineError
from runtime.engine.reaper import is_readable
from runtime.engine.service.request import HostConfig
from runtime.spawn.linux import AT_FDCWD
from runtime.spawn.tape import Paused, Slot, SlotValue, StepError, StepKilledError, Tape

_PATIENCE_S = 10.0
_STATX_BYTES, _BASIC_STATS = 256, 0x7FF
_hanging: list[Paused] = []
"""They share this process's memory, where their steps lie."""


def check_answers(paths: Iterable[str]) -> None:
    """Blocking, for 10 s at most. Raises EngineError when the file system of a path does not answer.

    Whether there is such a path is another question.
    """
    for child in [one for one in _hanging if is_readable(one.done_fd, 0)]:
        _hanging.remove(child)
        _reap(child)
    for path in paths:
        slots: dict[str, SlotValue] = {"path": os.fsencode(path), "status": bytearray(_STATX_BYTES)}
        child = Paused(_tape(), slots, 0, None)
        if not is_readable(child.done_fd, _PATIENCE_S):
            signal.pidfd_send_signal(child.pidfd, signal.SIGKILL)
            _hanging.append(child)
            raise EngineError(f"mount source {path}: its file system does not answer; mend its server")
        _reap(child)


def _reap(child: Paused) -> None:
    with contextlib.suppress(StepError, StepKilledError):  # its tape has no execve
        child.finish()


@functools.cache
def _tape() -> Tape:
    tape = Tape()
    tape.add("look at a path", "statx", AT_FDCWD, Slot("path"), 0, _BASIC_STATS, Slot("status"))
    tape.add("end", "exit_group", 0)
    return tape


def bind_sources(host: HostConfig) -> list[str]:
    """The paths of the host that a container is to have."""
    asked = [bind.partition(":")[0] for bind in host.binds or ()]
    mounted = [mount.source for mount in host.mounts or () if mount.type == "bind"]
    return [path for path in asked + mounted if path.startswith("/")]
