"""The verbs `tune` and `untune`: make the host quieter while a command runs, or until it is put back."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Annotated

import msgspec
import typer

from bench.cli import names, tables
from bench.cli.console import AsJson, err, line, out, print_json
from bench.cli.errors import BROKEN, COMPLETE, USAGE, CliError, guarded
from bench.host.settings import LEFT, PlannedChange
from bench.host.tuning import SIGNALS, Done, TuneError, Tuner, TuneRecord

OURS = 125
"""Exit status of `tune -- COMMAND` if the command did not run: the same as of `env` and `nohup`."""

_STATE = {"change": "would change", "fine": "fine", "absent": "not here", "refused": "cannot change"}

Say = Callable[[str], None]


class TunePlan(msgspec.Struct, frozen=True, kw_only=True):
    """`tune --show --json`: what is changed now, what would be, and what is left alone and why."""

    tuned: TuneRecord | None
    settings: list[PlannedChange]
    left: dict[str, str]


class TuneResult(msgspec.Struct, frozen=True, kw_only=True):
    """`tune --json` and `untune --json`: the outcome for each file."""

    files: list[Done]


def tuner(cpus: Sequence[int] = ()) -> Tuner:
    """Return the tuner of this machine. Tests replace it."""
    return Tuner(cpus=cpus)


@guarded
def tune(
    command: Annotated[
        list[str] | None,
        typer.Argument(metavar="-- COMMAND…", help="Tune while this command runs, then put everything back."),
    ] = None,
    show: Annotated[
        bool, typer.Option("--show", metavar="", help="Change nothing; show what would be changed.")
    ] = False,
    cpus: Annotated[
        str | None, typer.Option(metavar="LIST", help="CPUs, as for `run`; interrupts move to the others.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Make the host quieter (governor, turbo, page migration, interrupts). Needs root.

    With a command: until the command ends, whose exit status is returned
    (125: the host could not be tuned, or the command not started).
    Without a command: until `ninetynine untune` or the next boot.
    """
    ours = tuner(names.cpus(cpus, os.sched_getaffinity(0)))
    if show:
        if command:
            raise CliError("tune --show runs no command: give one of the two", USAGE)
        return _show(ours, as_json)
    if command:
        try:
            return run_tuned(ours, command, _printer())
        except TuneError as error:
            raise CliError(str(error), OURS) from error
    with ours.locked():
        left = ours.settle()
        done = ours.tune(kept=True)
    return _finish(
        [*left, *done], as_json, "nothing to change: the host is already tuned, as far as it can be"
    )


@guarded
def untune(as_json: AsJson = False) -> int:
    """Put back everything that `tune` changed, also after it was killed. Needs root.

    A setting that someone else changed since then is left alone and listed.
    Exit status: 0 done; 1 a setting could not be put back.
    """
    ours = tuner()
    if ours.record() is None and not ours.directory.exists():
        return _finish([], as_json, "nothing to put back")
    with ours.locked():
        done = ours.put_back()
    return _finish(done, as_json, "nothing to put back")


def run_tuned(ours: Tuner, command: Sequence[str], say: Say) -> int:
    """Run `command` while the host is tuned; return its exit status, 128 + n if signal n ended it."""
    child: subprocess.Popen[bytes] | None = None
    pending: list[int] = []

    def hand_on(number: int, frame: FrameType | None) -> None:
        """Forward the signal: the command decides what it means. A terminal's Ctrl-C reaches it by itself."""
        if child is None:
            pending.append(number)
        elif number != signal.SIGINT or not _in_foreground():
            child.send_signal(number)

    before = {number: signal.signal(number, hand_on) for number in SIGNALS}
    try:
        with ours.held() as (left, done):
            for one in (*left, *done):
                say(f"{one.setting}: {one.path}: {one.words}")
            changed = len(done)
            child = _spawn(command)
            for number in pending:
                child.send_signal(number)
            status = child.wait()
        for one in done[changed:]:
            say(f"{one.setting}: {one.path}: {one.words}")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return status if status >= 0 else 128 - status


def _spawn(command: Sequence[str]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(command)
    except OSError as error:
        raise CliError(
            f"start {command[0]}: {error.strerror}; is it installed and executable?", OURS
        ) from error


def _in_foreground() -> bool:
    """Whether the terminal sends Ctrl-C to our process group."""
    try:
        return os.tcgetpgrp(0) == os.getpgrp()
    except OSError:
        return False


@contextmanager
def tuned_for_a_run(wanted: bool, cpus: str | None, say: Say) -> Iterator[None]:
    """Put back what a killed process left; if `wanted`, keep the host tuned during the block.

    Leftovers that cannot be put back are reported and do not stop the run; the checks of the host note them
    in the run. Raises TuneError if tuning was requested and is not possible.
    """
    if not wanted:
        _settle(tuner(), say)
        yield
        return
    with tuner(names.cpus(cpus, os.sched_getaffinity(0))).held() as (left, done):
        for one in (*left, *done):
            say(f"tune: {one.setting}: {one.path}: {one.words}")
        yield


def _settle(ours: Tuner, say: Say) -> None:
    try:
        record = ours.record()
        if record is None or record.kept or ours.busy():
            return
        with ours.locked():
            done = ours.settle()
    except TuneError as error:
        say(f"tune: could not put back what a killed process left: {error}")
        return
    for one in done:
        say(f"tune: left by a killed process: {one.setting}: {one.path}: {one.words}")


def _printer() -> Say:
    console = err()
    return lambda words: console.print(f"· {words}", markup=False, highlight=False)


def _show(ours: Tuner, as_json: bool) -> int:
    shown = TunePlan(tuned=ours.record(), settings=ours.plan(), left=dict(LEFT))
    if as_json:
        print_json(shown)
        return COMPLETE
    if shown.tuned is not None:
        line(f"tuned now: {shown.tuned.words()}")
    rows = [
        (_STATE[one.do], one.setting, f"/{one.path}", _arrow(one), one.why or one.effect)
        for one in shown.settings
    ]
    rows += [("left alone", name, "", "", f"{name} {why}") for name, why in shown.left.items()]
    heads = ("tune", "setting", "file", "value", "why")
    tables.plain(out(), heads, [[tables.plainly(cell) for cell in row] for row in rows])
    return COMPLETE


def _arrow(one: PlannedChange) -> str:
    return f"{one.present} → {one.wanted}" if one.do == "change" else one.present


def _finish(done: list[Done], as_json: bool, nothing: str) -> int:
    if as_json:
        print_json(TuneResult(files=done))
    elif not done:
        out().print(nothing, highlight=False)
    else:
        rows = [(one.state, one.setting, one.path, one.words) for one in done]
        tables.plain(
            out(), ("state", "setting", "file", ""), [[tables.plainly(c) for c in row] for row in rows]
        )
    return BROKEN if any(one.state == "failed" for one in done) else COMPLETE
