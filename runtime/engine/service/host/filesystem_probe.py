"""Check that the file systems answer that a container is to use."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable

from runtime.engine.errors import EngineError
from runtime.engine.service.model.request import HostConfig
from runtime.engine.timed_calls import returns
from runtime.spawn.linux import AT_FDCWD
from runtime.spawn.tape import Slot, SlotValue, Tape

_PATIENCE_S = 10.0
_STATX_BYTES, _BASIC_STATS = 256, 0x7FF


def check_answers(paths: Iterable[str]) -> None:
    """Check paths.

    Blocks for at most 10 s each. Raises EngineError when a file system does not answer; missing paths are not
    reported.
    """
    for path in paths:
        slots: dict[str, SlotValue] = {"path": os.fsencode(path), "status": bytearray(_STATX_BYTES)}
        if not returns(_tape(), slots, _PATIENCE_S):
            raise EngineError(f"mount source {path}: its file system does not answer; repair its server")


@functools.cache
def _tape() -> Tape:
    tape = Tape()
    tape.add("look at a path", "statx", AT_FDCWD, Slot("path"), 0, _BASIC_STATS, Slot("status"))
    tape.add("end", "exit_group", 0)
    return tape


def bind_sources(host: HostConfig) -> list[str]:
    """Return the paths of the host that a container asks for."""
    asked = [bind.partition(":")[0] for bind in host.binds or ()]
    mounted = [mount.source for mount in host.mounts or () if mount.type == "bind"]
    return [path for path in asked + mounted if path.startswith("/")]
