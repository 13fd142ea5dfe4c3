"""The verb `run`: measure, judge, draw the page, show the answers."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path

import msgspec

from bench import store
from bench.answers.words import listed
from bench.cli import ahead, execute
from bench.cli.concluding import control_failed, judged, reported
from bench.cli.console import command, complain, err, print_json, quoted
from bench.cli.dependencies import cache_dir, current
from bench.cli.errors import BROKEN, COMPLETE, INTERRUPTED, INVALID, USAGE, CliError, interruptible
from bench.cli.found import document, found_in, screen
from bench.cli.progress import progress
from bench.cli.screen import plan
from bench.cli.screen.summary import one_screen
from bench.cli.tuning import tuned_for_a_run

_BESIDE = {"--resume": ("--tune", "--json"), "--like": ("--out", "--tune", "--dry-run", "--json")}
"""What may be typed beside an option that brings a whole plan."""


def run(options: execute.Options, resumed: Path | None, tune: bool, as_json: bool) -> int:
    """Carry out or finish a run; return the exit status. resumed: the directory of the one to finish."""
    watch = progress(err(), quiet=as_json)
    with interruptible(), tuned_for_a_run(tune, options.cpus, watch.say):
        if resumed is not None:
            ended = execute.resume(current(), resumed, watch)
        else:
            ended = execute.start(current(), options, watch)
        loaded = store.load(ended.directory)
        with watch.busy("judging"):
            verdicts = judged(loaded)
            store.write_verdicts(ended.directory, verdicts)
        with watch.busy("drawing the page"):
            page = _page(ended.directory)
    found = msgspec.structs.replace(found_in(loaded, verdicts), page=page)
    if as_json:
        print_json(document(found))
    else:
        screen(lambda width: one_screen(found, width))
    if page is None:
        return BROKEN
    if ended.run.status == "interrupted":
        return INTERRUPTED
    return INVALID if control_failed(verdicts) else COMPLETE


def refuse_beside(typed: Collection[str]) -> None:
    """Raise CliError (status 2) where an option was typed beside --resume or --like that it would ignore."""
    for option, allowed in _BESIDE.items():
        ignored = [one for one in typed if one not in (option, *allowed)]
        if option in typed and ignored:
            raise CliError(f"{option} takes the plan from that run: leave out {listed(ignored)}", USAGE)


def like(directory: Path, typed: execute.Options) -> execute.Options:
    """The options that make a run's plan again."""
    plan = store.load(directory).run.plan
    return msgspec.structs.replace(execute.like(current(), plan), out=typed.out)


def dry(options: execute.Options, as_json: bool) -> int:
    """Show what a run would do."""
    with progress(err(), quiet=as_json).busy("asking the backends"):
        chosen = execute.choose(current(), options)
        found = ahead.preview(current(), chosen, cache_dir())
    if as_json:
        print_json(found)
    else:
        typed = [word for word in sys.argv[1:] if word != "--dry-run"]
        start = command(*typed, *([] if "--seed" in typed or options.like else ["--seed", found.seed]))
        screen(lambda width: plan.lines(found, start, width))
    return COMPLETE


def _page(directory: Path) -> Path | None:
    """Write the report. A failure is printed and does not fail the run: samples and verdicts are on disk."""
    try:
        return reported(directory)
    except Exception as error:
        complain(
            f"the report could not be written ({type(error).__name__}: {error}); samples and verdicts are in "
            f"{directory}; try again with `ninetynine report {quoted(directory)}`"
        )
        return None
