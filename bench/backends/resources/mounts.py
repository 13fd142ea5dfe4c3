"""Mounts that a backend makes on the host, all below our own directory, and their removal."""

from __future__ import annotations

import re
from pathlib import Path

from bench.backends.base import BackendError
from runtime.spawn import linux
from runtime.spawn.tape import StepError, Tape

_ESCAPE = re.compile(r"\\([0-7]{3})")


def mount(source: str, target: Path, kind: str, flags: int = 0, options: str = "") -> None:
    """Mount a new file system of `kind`. BackendError names both ends and the errno."""
    tape = Tape()
    tape.add(f"mount {kind} on {target}", "mount", source, str(target), kind, flags, options)
    _walk(tape)


def bind(source: Path, target: Path) -> None:
    """Bind mount the directory `source` on `target`, without the mounts below `source`."""
    tape = Tape()
    tape.add(f"bind {source} on {target}", "mount", str(source), str(target), 0, linux.MS_BIND, 0)
    tape.add(f"make {target} private", "mount", 0, str(target), 0, linux.MS_PRIVATE, 0)
    _walk(tape)


def below(directory: Path) -> list[Path]:
    """Return the mount points at or below `directory`, innermost and latest first."""
    prefix = str(directory)
    found = []
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        target = _ESCAPE.sub(lambda code: chr(int(code[1], 8)), line.split()[4])
        if target == prefix or target.startswith(prefix + "/"):
            found.append(Path(target))
    return found[::-1]


def unmount_below(directory: Path) -> None:
    """Unmount everything at or below `directory`. Idempotent; BackendError if a mount stays."""
    tape = Tape()
    for target in below(directory):
        tape.add(f"unmount {target}", "umount2", str(target), linux.MNT_DETACH)
    if tape.steps:
        _walk(tape)
    if left := below(directory):
        raise BackendError(f"unmount {left[0]}: it is still mounted; see /proc/self/mountinfo")


def _walk(tape: Tape) -> None:
    try:
        tape.walk({})
    except StepError as error:
        raise BackendError(f"{error}; root is needed, and no other program may use this directory") from error
