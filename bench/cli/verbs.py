"""The verbs `run`, `report` and `show`: read options, call one function, print, return an exit status."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from bench import store
from bench.cli import execute, tables
from bench.cli.concluding import control_failed, judged, reported
from bench.cli.console import AsJson, complain, err, line, out, print_json
from bench.cli.dependencies import current
from bench.cli.errors import BROKEN, COMPLETE, INTERRUPTED, INVALID, USAGE, CliError, guarded
from bench.cli.progress import progress
from bench.cli.tables import damaged, show_run
from bench.cli.tuning import tuned_for_a_run
from bench.measure import Observer
from bench.model import Verdict

RunDir = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run directory: results/…, or the one given to --out.")
]


@guarded
def run(
    backends: Annotated[
        str | None, typer.Option(help="Backends, separated by commas; see `ninetynine list backends`.")
    ] = None,
    families: Annotated[
        str | None, typer.Option(help="Some of startup,cpu,memory,network,disk,engine,image. Default: all.")
    ] = None,
    profile: Annotated[
        str,
        typer.Option(
            help="smoke (under a minute, no verdicts), quick (6 minutes) or full (for publication)."
        ),
    ] = "quick",
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same seed gives the same plan. Default: random.")
    ] = None,
    cpus: Annotated[
        str | None, typer.Option(help="CPUs for every backend, such as 0,1. Default: the first two.")
    ] = None,
    budget: Annotated[
        float | None, typer.Option(help="Measure for at most so many seconds. Default: the profile's.")
    ] = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="The run directory; new or empty. Default: below results/.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Continue the interrupted run in this directory.")
    ] = None,
    tune: Annotated[
        bool, typer.Option("--tune", help="Tune the host during the run; see `ninetynine tune --show`.")
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
    options = execute.Options(
        profile=profile,
        backends=backends,
        families=families,
        cpus=cpus,
        seed=seed,
        budget=budget,
        out=out_dir,
    )
    watch = progress(err(), quiet=as_json)
    with interruptible(), tuned_for_a_run(tune, cpus, watch.say):
        ended = _measured(options, resume, watch)
        verdicts = judged(store.load(ended.directory))
        page = _page(ended.directory)
    _show_end(ended, verdicts, page, as_json)
    if page is None:
        return BROKEN
    if ended.run.status == "interrupted":
        return INTERRUPTED
    return INVALID if control_failed(verdicts) else COMPLETE


def _measured(options: execute.Options, resume: Path | None, watch: Observer) -> execute.Ended:
    """Measure a new run, or continue the one in `resume`, which takes no options that change its plan."""
    if resume is None:
        return execute.start(current(), options, watch)
    if options != execute.Options(profile=options.profile):
        raise CliError(
            "--resume continues the plan of that run: give it without options that change the plan", USAGE
        )
    return execute.resume(current(), resume, watch)


@guarded
def report(
    run_dir: RunDir,
    out_file: Annotated[
        Path | None,
        typer.Option("--out", help="The file to write. Default: report.html in the run directory."),
    ] = None,
) -> int:
    """Write a run's report (report.html) again."""
    loaded = store.load(run_dir)
    line(reported(run_dir, out_file))
    return BROKEN if damaged(loaded) else COMPLETE


@guarded
def show(run_dir: RunDir, as_json: AsJson = False) -> int:
    """Show a run's verdicts, and what was not measured and why."""
    loaded = store.load(run_dir)
    show_run(loaded.run, store.load_verdicts(run_dir), as_json)
    return BROKEN if damaged(loaded) else COMPLETE


def _show_end(ended: execute.Ended, verdicts: list[Verdict], page: Path | None, as_json: bool) -> None:
    if as_json:
        facts = {
            "run": ended.run.id,
            "directory": ended.directory,
            "status": ended.run.status,
            "report": page,
        }
        print_json(
            facts
            | {"seed": ended.run.plan.seed, "verdicts": verdicts, "not_measured": ended.run.not_measured}
        )
        return
    first = tables.deciding(ended.run, verdicts)
    show_run(ended.run, first, as_json=False)
    failed = control_failed(verdicts)
    if failed is not None:
        text = f"INVALID RUN: {failed.claim} failed, so none of the verdicts counts: {failed.reason}"
        out().print(text, style="bold red", markup=False, soft_wrap=True)
    if rest := len(verdicts) - len(first):
        line(f"{rest} more verdicts (stress metrics, the control's parts): ninetynine show {ended.directory}")
    if ended.run.status == "interrupted":
        line(f"interrupted; continue with: ninetynine run --resume {ended.directory}")
    if page is not None:
        line(f"report: {page}")


def _page(directory: Path) -> Path | None:
    """Write the report. A failure is printed and does not fail the run: samples and verdicts are on disk."""
    try:
        return reported(directory)
    except Exception as error:
        complain(
            f"the report could not be written ({type(error).__name__}: {error}); samples and verdicts are in "
            f"{directory}; try again with `ninetynine report {directory}`"
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
