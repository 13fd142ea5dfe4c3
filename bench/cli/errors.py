"""Exit statuses, and the place that turns expected errors into a message and a status."""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable
from typing import ParamSpec

import typer

from bench.backends.base import BackendError
from bench.claims import ClaimsError
from bench.cli.console import complain
from bench.foreign.table import ForeignError
from bench.host.tuning import TuneError
from bench.image.recipe import ImageError
from bench.journal import StoreError
from bench.judging.pairs import SamplesError
from bench.plan import PlanError
from bench.profiles import ProfileError
from bench.scenarios.base import ScenarioError

P = ParamSpec("P")

COMPLETE = 0
BROKEN = 1
USAGE = 2
INVALID = 3
INTERRUPTED = 130

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class CliError(Exception):
    """The request cannot be served; `status` is the exit status."""

    def __init__(self, message: str, status: int = BROKEN) -> None:
        super().__init__(message)
        self.status = status


EXPECTED = (
    BackendError,
    ForeignError,
    ImageError,
    SamplesError,
    StoreError,
    ScenarioError,
    ClaimsError,
    PlanError,
    ProfileError,
    TuneError,
)


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
        except EXPECTED as error:
            status = _say(error, BROKEN)
        except KeyboardInterrupt:
            status = _say("interrupted", INTERRUPTED)
        except BrokenPipeError:  # the reader (`head`, a pager) has seen enough, which is no error
            _forget_output()
            status = COMPLETE
        except OSError as error:
            if error.filename is not None or error.errno not in _FULL:
                raise
            _forget_output()
            status = _say(f"write to standard output: {error.strerror}; free some space", BROKEN)
        raise typer.Exit(status)

    return wrapped


def _forget_output() -> None:
    """Drop what is still buffered, so that flushing it at exit does not fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _say(error: object, status: int) -> int:
    complain(error)
    return status
