"""The verbs `run`, `report` and `show`: read options, call one function, print, return an exit status."""

from __future__ import annotations

import difflib
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import msgspec
import typer

from bench import store
from bench.cli import ahead, execute, names
from bench.cli.concluding import control_failed, judged, reported
from bench.cli.console import AsJson, command, complain, err, out, print_json, quoted
from bench.cli.dependencies import cache_dir, current
from bench.cli.errors import BROKEN, COMPLETE, INTERRUPTED, INVALID, USAGE, CliError, guarded
from bench.cli.found import document, found_in, newest, screen
from bench.cli.progress import Progressing, progress
from bench.cli.screen import details, plan
from bench.cli.screen.summary import one_screen
from bench.cli.tables import damaged
from bench.cli.tuning import tuned_for_a_run

NewestRun = Annotated[
    Path | None,
    typer.Argument(
        metavar="[RUN]",
        help="A run directory: results/… or what was given to --out. Default: the newest below results/.",
        show_default=False,
    ),
]


@guarded
def run(
    backends: Annotated[
        str | None,
        typer.Option(metavar="NAMES", help="Backends, separated by commas; see `ninetynine list backends`."),
    ] = None,
    families: Annotated[
        str | None,
        typer.Option(
            metavar="NAMES", help="Some of startup, cpu, memory, network, disk, engine, image. Default: all."
        ),
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="smoke (under a minute, no verdicts), quick (6 minutes) or full (for publication).",
        ),
    ] = "quick",
    seed: Annotated[
        int | None,
        typer.Option(metavar="N", min=0, help="The same seed gives the same plan. Default: random."),
    ] = None,
    cpus: Annotated[
        str | None,
        typer.Option(
            metavar="LIST", help="CPUs for every backend, such as 0-1 or 0,2. Default: the first two."
        ),
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(
            metavar="SECONDS",
            help="How long to measure; what decides a claim is measured five times in any case. "
            "Default: the profile's.",
        ),
    ] = None,
    until_decided: Annotated[
        bool,
        typer.Option(
            "--until-decided",
            metavar="",
            help="Go on past the budget while a claim is open and within reach.",
        ),
    ] = False,
    at_most: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="With --until-decided: measure for at most so long, such as 60m (the default).",
        ),
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option(
            "--out", metavar="DIR", help="The run directory; new or empty. Default: below results/."
        ),
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(metavar="RUN", help="Finish the interrupted run in this directory.")
    ] = None,
    tune: Annotated[
        bool,
        typer.Option(
            "--tune", metavar="", help="Tune the host during the run; see `ninetynine tune --show`."
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", metavar="", help="Show what would be measured and how long it would take."),
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Measure backends against the host, judge the claims and write a report. Needs root.

    Exit status:
    0 complete, whatever the verdicts
    1 error
    2 usage error
    3 a control failed, so the run is invalid
    130 interrupted
    """
    if at_most is not None and not until_decided:
        raise CliError("--at-most limits --until-decided: give both, or --budget", USAGE)
    options = execute.Options(
        profile=profile,
        backends=backends,
        families=families,
        cpus=cpus,
        seed=seed,
        budget=budget,
        at_most=names.seconds("--at-most", at_most or names.UNTIL) if until_decided else None,
        out=out_dir,
    )
    watch = progress(err(), quiet=as_json)
    if dry_run:
        return _dry(options, watch, as_json)
    with interruptible(), tuned_for_a_run(tune, cpus, watch.say):
        if resume is not None:
            given = (backends, families, seed, cpus, budget, options.at_most, out_dir)
            if any(one is not None for one in given):
                raise CliError(
                    "--resume continues the plan of that run: give it without options that change the plan",
                    USAGE,
                )
            ended = execute.resume(current(), resume, watch)
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


def _dry(options: execute.Options, watch: Progressing, as_json: bool) -> int:
    """Show what a run would do."""
    with watch.busy("asking the backends"):
        chosen = execute.choose(current(), options)
        found = ahead.preview(current(), chosen, cache_dir())
    if as_json:
        print_json(found)
    else:
        typed = [word for word in sys.argv[1:] if word != "--dry-run"]
        start = command(*typed, *([] if "--seed" in typed else ["--seed", found.seed]))
        screen(lambda width: plan.lines(found, start, width))
    return COMPLETE


@guarded
def report(
    run_dir: NewestRun = None,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", metavar="FILE", help="The file to write. Default: report.html in RUN."),
    ] = None,
) -> int:
    """Write a run's report (report.html) again."""
    loaded = store.load(run_dir or newest())
    with progress(err(), quiet=False).busy("drawing the page"):
        page = reported(loaded.directory, out_file)
    out().print(str(page), markup=False, highlight=False, soft_wrap=True)
    return BROKEN if damaged(loaded) else COMPLETE


@guarded
def show(
    run_dir: NewestRun = None,
    what: Annotated[
        str | None,
        typer.Argument(metavar="[CLAIM|METRIC]", help="Show all about it.", show_default=False),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", metavar="", help="Show every verdict with its reason.")
    ] = False,
    as_json: AsJson = False,
) -> int:
    """Show what a run found: on one screen, all of it, or all about one claim or metric."""
    if run_dir is not None and what is None and len(run_dir.parts) == 1 and not run_dir.exists():
        run_dir, what = None, str(run_dir)
    loaded = store.load(run_dir or newest())
    found = found_in(loaded, store.load_verdicts(loaded.directory))
    if as_json:
        print_json(document(found))
    elif what is not None:
        if what not in details.known(found):
            raise CliError(_unknown(what, details.known(found)), USAGE)
        screen(lambda width: details.about(found, what, width))
    else:
        screen(lambda width: (details.everything if everything else one_screen)(found, width))
    return BROKEN if damaged(loaded) else COMPLETE


def _unknown(what: str, known: list[str]) -> str:
    near = difflib.get_close_matches(what, known, 1)
    hint = f"did you mean {near[0]}?" if near else "`ninetynine list metrics` shows the metrics"
    return f"{what!r} is neither a run directory nor a claim or metric of the run; {hint}"


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
