"""`nox -s validate`: run the study, print its tables, check their bounds.

Exit status: 0 all within bounds, 1 a figure is out of bounds (its row is named), 2 usage error.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from bench.stats.validate import figure, page
from bench.stats.validate.jobs import Job, Size, StudyResult, gather, plan, walk

QUICK = 0.05
"""Share of the runs that `--quick` takes: 1000 a world, half a minute."""

TITLES = {
    "fixed": "A fixed number of sessions",
    "looks": "With looks",
    "designs": "Two other designs",
    "spending": "Mean sessions taken (share decided), by how late alpha is spent",
    "rules": "What the plan adds: false supported / refuted at 0.99, refuted at 0.98, supported at 1.00, %",
    "copies": "Copies that count: independence of the control",
    "estimators": "Other estimators, false supported / false refuted, %",
    "resolution": "Distance from the truth to the lower bound, median + t / HL + t, %",
    "control": "A/A control failed by chance, %",
    "bias": "A/A control failed by a real bias common to all 40 metrics, %",
    "tails": "Bound on the wrong side of the true 99th percentile, %",
}


def main(arguments: list[str] | None = None) -> int:
    """Run, print and check; write the page if requested."""
    options = _options().parse_args(arguments)
    size = Size().shrunk(QUICK) if options.quick else Size()
    console = Console(stderr=True)
    began = time.monotonic()
    jobs = plan(size, options.seed)
    outcome = gather(_shown(jobs, options.processes, console), size)
    for name, title in TITLES.items():
        sys.stdout.write(f"**{title}**\n\n{outcome.tables[name]}\n\n")
    if options.write:
        page.write(outcome.tables)
        page.write_figure(figure.draw(outcome.results))
        console.print(f"written: {page.PAGE}, {page.FIGURE}")
    return _verdict(outcome, console, time.monotonic() - began)


def _options() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nox -s validate --", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="1000 runs a world instead of 20 000")
    parser.add_argument("--write", action="store_true", help="put tables and figure into docs/validation.md")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=None, help="default: all CPUs")
    return parser


def _shown(jobs: list[Job], processes: int | None, console: Console) -> Iterator[tuple[Job, Any]]:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("validate", total=len(jobs))
        for job, found in walk(jobs, processes):
            progress.update(task, advance=1, description=f"{job[0]}: {job[1][0]}")
            yield job, found


def _verdict(outcome: StudyResult, console: Console, seconds: float) -> int:
    broken = [check for check in outcome.checks if not check.holds]
    for check in broken:
        console.print(f"out of bounds: {check}", style="red", soft_wrap=True)
    held = len(outcome.checks) - len(broken)
    console.print(f"{held} of {len(outcome.checks)} figures within their bounds, {seconds:.0f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
