"""The verbs of `ninetynine`. Each reads options, calls one function, prints, and returns a status."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from bench import store
from bench.cli import execute, tables
from bench.cli.concluding import control_failed, judged, reported
from bench.cli.errors import BROKEN, COMPLETE, INTERRUPTED, INVALID, USAGE, CliError, guarded
from bench.cli.progress import progress
from bench.cli.world import current
from bench.model import Run, Verdict

app = typer.Typer(
    name="ninetynine",
    no_args_is_help=True,
    rich_markup_mode="rich",
    help="Does a container start in a second and give you 99 % of the host? Measure it here.",
)

AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output, nothing else.")]
RunDir = Annotated[
    Path, typer.Argument(metavar="RUN", help="A run directory, such as results/20261124-090000-ab12cd.")
]


def out() -> Console:
    """Standard output: results."""
    return Console(soft_wrap=not sys.stdout.isatty())


@app.command(epilog="Example: ninetynine run --profile quick --backends host,runtime --families cpu,memory")
@guarded
def run(
    backends: Annotated[
        str | None, typer.Option(help="Backends, separated by commas (`list backends`).")
    ] = None,
    families: Annotated[
        str | None, typer.Option(help="startup,cpu,memory,network,disk; all when not given.")
    ] = None,
    profile: Annotated[
        str, typer.Option(help="smoke (< 1 min, no verdict), quick (6 min), full (publication).")
    ] = "quick",
    seed: Annotated[int | None, typer.Option(help="Same seed, same plan. Random when not given.")] = None,
    cpus: Annotated[
        str | None, typer.Option(help="CPUs for every arm, e.g. 0,1. The first two when not given.")
    ] = None,
    out_dir: Annotated[
        Path | None, typer.Option("--out", help="The run directory itself; must be new or empty.")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Go on with an interrupted run in this directory.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Measure every backend against the host and give verdicts. Needs root. Exit status: 0 done,
    3 the control failed and the run is invalid, 130 interrupted, 1 broken, 2 wrong use."""
    watch = progress(Console(stderr=True), quiet=as_json)
    with interruptible():
        if resume is not None:
            if any((backends, families, seed is not None, cpus, out_dir)):
                raise CliError(
                    "--resume goes on with the plan that is there: give it without other choices", USAGE
                )
            ended = execute.resume(current(), resume, watch, watch.say)
        else:
            options = execute.Options(
                profile=profile, backends=backends, families=families, cpus=cpus, seed=seed, out=out_dir
            )
            ended = execute.start(current(), options, watch, watch.say)
        verdicts = judged(store.load(ended.directory))
        page = _page(ended.directory)
    _show_end(ended, verdicts, page, as_json)
    if page is None:
        return BROKEN
    if ended.run.status == "interrupted":
        return INTERRUPTED
    return INVALID if control_failed(verdicts) else COMPLETE


@app.command(epilog="Example: ninetynine judge results/20261124-090000-ab12cd")
@guarded
def judge(run_dir: RunDir, as_json: AsJson = False) -> int:
    """Judge a run again from its samples and write its verdicts.json. Exit status 3: the control failed."""
    loaded = store.load(run_dir)
    verdicts = judged(loaded)
    _show(loaded.run, verdicts, loaded.recovered, as_json)
    return INVALID if control_failed(verdicts) else COMPLETE


@app.command(epilog="Example: ninetynine report results/20261124-090000-ab12cd --out /tmp/report.html")
@guarded
def report(
    run_dir: RunDir,
    out_file: Annotated[Path | None, typer.Option("--out", help="Where to write the page.")] = None,
) -> int:
    """Write the run's page (report.html) again."""
    store.load(run_dir)
    out().print(str(reported(run_dir, out_file)), markup=False, highlight=False)
    return COMPLETE


@app.command(epilog="Example: ninetynine show results/20261124-090000-ab12cd --json")
@guarded
def show(run_dir: RunDir, as_json: AsJson = False) -> int:
    """Print a run's verdicts and what was not measured."""
    loaded = store.load(run_dir)
    _show(loaded.run, store.load_verdicts(run_dir), loaded.recovered, as_json)
    return COMPLETE


def _show(run: Run, verdicts: list[Verdict], recovered: tuple[str, ...], as_json: bool) -> None:
    if as_json:
        _print_json({"run": run.id, "status": run.status, "recovered": recovered, "verdicts": verdicts})
        return
    console = out()
    for sentence in recovered:
        console.print(f"! {sentence}", markup=False, highlight=False, style="yellow")
    tables.heading(console, run)
    tables.verdicts(console, verdicts)
    tables.not_measured(console, run.not_measured)


def _show_end(ended: execute.Ended, verdicts: list[Verdict], page: Path | None, as_json: bool) -> None:
    if as_json:
        _print_json(
            {
                "run": ended.run.id,
                "directory": ended.directory,
                "status": ended.run.status,
                "seed": ended.run.plan.seed,
                "report": page,
                "verdicts": verdicts,
                "not_measured": ended.run.not_measured,
            }
        )
        return
    _show(ended.run, verdicts, (), as_json=False)
    failed = control_failed(verdicts)
    console = out()
    if failed is not None:
        console.print(
            f"INVALID RUN: host against host differs: {failed.reason}", style="bold red", markup=False
        )
    if ended.run.status == "interrupted":
        console.print(f"interrupted; go on with: ninetynine run --resume {ended.directory}", markup=False)
    if page is not None:
        console.print(f"report: {page}", markup=False, highlight=False)


def _page(directory: Path) -> Path | None:
    """The report; a page that cannot be written costs neither the measurements nor the verdicts."""
    try:
        return reported(directory)
    except Exception as error:
        text = (
            f"the report could not be written ({type(error).__name__}: {error}); all else is in {directory}, "
        )
        text += f"try again with `ninetynine report {directory}`"
        Console(stderr=True, soft_wrap=True).print(
            f"ninetynine: error: {text}", markup=False, highlight=False
        )
        return None


def _print_json(value: object) -> None:
    data = msgspec.json.encode(value, enc_hook=str)
    sys.stdout.write(msgspec.json.format(data, indent=1).decode() + "\n")


@contextmanager
def interruptible() -> Iterator[None]:
    """SIGTERM is treated as Ctrl-C; once one came, further ones are ignored so that the clean-up ends."""

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
