"""Exit statuses, and the place that turns expected errors and interrupts into a message and a status."""

from __future__ import annotations

import errno
import functools
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, ParamSpec

import typer

from bench.cli.console import complain
from bench.cli.help import Verb
from bench.errors import ExpectedError
from bench.profiles import ProfileError

P = ParamSpec("P")

COMPLETE = 0
BROKEN = 1
USAGE = 2
INVALID = 3
INTERRUPTED = 130

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class CliError(ExpectedError):
    """The request cannot be served; `status` is the exit status."""

    def __init__(self, message: str, status: int = BROKEN) -> None:
        super().__init__(message)
        self.status = status


def guarded(verb: Callable[P, int]) -> Callable[P, None]:
    """Turn a verb that returns its exit status into a typer command that prints expected errors."""

    @functools.wraps(verb)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            status = verb(*args, **kwargs)
            sys.stdout.flush()
        except CliError as error:
            status = _say(error, error.status)
        except ProfileError as error:
            status = _say(error, USAGE)
        except ExpectedError as error:
            status = _say(error, BROKEN)
        except KeyboardInterrupt:
            status = _say("interrupted", INTERRUPTED)
        except BrokenPipeError:  # the reader (`head`, a pager) has seen enough, which is not an error
            _forget_output()
            status = COMPLETE
        except OSError as error:
            if error.filename is not None or error.errno not in _FULL:
                raise
            _forget_output()
            status = _say(f"write to standard output: {error.strerror}; free some space", BROKEN)
        raise typer.Exit(status)

    return wrapped


def gated(verb: Callable[P, int]) -> Callable[P, None]:
    """Like `guarded`, but anything other than a result exits with 3 (an interrupt with 130)."""

    @functools.wraps(verb)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> None:
        results: list[int] = []

        def asked() -> int:
            results.append(verb(*args, **kwargs))
            return results[-1]

        try:
            guarded(asked)()
        except typer.Exit as end:
            raise typer.Exit(end.exit_code if results or end.exit_code == INTERRUPTED else INVALID) from None
        except Exception:
            traceback.print_exc()
            raise typer.Exit(INVALID) from None

    return wrapped


class Gated(Verb):
    """A command that exits with 3 on a usage error, because its 2 means "cannot tell"."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Parse the arguments; a usage error gets status 3."""
        try:
            return super().make_context(info_name, args, parent, **extra)
        except Exception as error:
            if getattr(error, "exit_code", None) == USAGE:
                error.exit_code = INVALID  # type: ignore[attr-defined]
            raise


@contextmanager
def interruptible() -> Iterator[None]:
    """Treat SIGTERM as Ctrl-C. After the first one, ignore others, so that the clean-up can finish."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt), signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before[0])
        signal.signal(signal.SIGTERM, before[1])


def _forget_output() -> None:
    """Drop what is still buffered, so that flushing it at exit does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(error: object, status: int) -> int:
    complain(error)
    return status
