"""Pause the garbage collector and name the operation in errors, for every start and exec."""

from __future__ import annotations

import contextlib
import errno
import gc
import os
from collections.abc import Iterator

from runtime.engine.errors import EngineError, StartFailedError
from runtime.spawn.cgroups import CgroupError
from runtime.spawn.errnos import errno_text
from runtime.spawn.tape import StepError, StepKilledError


@contextlib.contextmanager
def gc_paused() -> Iterator[None]:
    """Prevent garbage collection during a start: in a large process it takes longer than the start."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


def _not_executed(program: str, number: int) -> tuple[int, str]:
    """The exit status and the words, Docker's, of an execve that failed."""
    if number in (errno.ENOENT, errno.ENOTDIR):
        return 127, "no such file or directory" if "/" in program else "executable file not found in $PATH"
    return 126, os.strerror(number).lower()


@contextlib.contextmanager
def errors_named(operation: str, program: str) -> Iterator[None]:
    """Add the name of the operation to errors of the kernel."""
    try:
        yield
    except StepError as error:
        if error.step.startswith("mount on ") and error.errno in (errno.EINVAL, errno.ENOTDIR):
            raise EngineError(
                f"{operation}: {error}: Are you trying to mount a directory onto a file (or vice-versa)? "
                "Check if the specified host path exists and is the expected type"
            ) from error
        if error.step != "execve":
            raise EngineError(f"{operation}: {error}") from error
        code, words = _not_executed(program, error.errno or 0)
        raise StartFailedError(f'{operation}: exec: "{program}": {words}', code) from error
    except (StepKilledError, CgroupError) as error:
        raise EngineError(f"{operation}: {error}") from error
    except OSError as error:
        raise EngineError(f"{operation}: {errno_text(error)} {error.filename or ''}".rstrip()) from error
