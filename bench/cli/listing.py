"""The verb `list`: backends, scenarios, metrics and runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from bench import history, store
from bench.cli import doctor, tables
from bench.cli.console import AsJson, line, out, print_json
from bench.cli.dependencies import cache_dir, current
from bench.cli.documents import ListedBackend, ListedMetric, ListedRun, ListedScenario, Lists
from bench.cli.errors import COMPLETE, guarded
from bench.journal import StoreError


class Subject(StrEnum):
    """What can be listed."""

    backends = "backends"
    scenarios = "scenarios"
    metrics = "metrics"
    runs = "runs"


@guarded
def show_list(
    subject: Annotated[
        Subject | None,
        typer.Argument(
            metavar="[WHAT]", help="backends, scenarios, metrics or runs. Default: all.", show_default=False
        ),
    ] = None,
    results: Annotated[Path, typer.Option(metavar="DIR", help="The directory with the runs.")] = Path(
        "results"
    ),
    as_json: AsJson = False,
) -> int:
    """List backends (with their state here), scenarios, metrics, and runs."""
    subjects = [subject] if subject else list(Subject)
    found = {one.value: _LISTS[one](results) for one in subjects}
    if as_json:
        print_json(found[subject.value] if subject else msgspec.convert(found, Lists, from_attributes=True))
        return COMPLETE
    for name, rows in found.items():
        if not rows:
            where = f" below {results}" if name == "runs" else ""
            line(f"no {name}{where}")
            continue
        heads = rows[0].__struct_fields__
        tables.plain(out(), heads, [[tables.plainly(getattr(row, head)) for head in heads] for row in rows])
        out().print()
    return COMPLETE


Rows = Sequence[ListedBackend | ListedScenario | ListedMetric | ListedRun]


def _backends(results: Path) -> list[ListedBackend]:
    return [
        ListedBackend(backend=one.name.removeprefix("backend "), state=one.state, found=one.found)
        for one in doctor.backend_checks(doctor.probe(current(), cache_dir()))
    ]


def _scenarios(results: Path) -> list[ListedScenario]:
    return [
        ListedScenario(
            scenario=one.name,
            family=one.family,
            kind=one.kind,
            metrics=" ".join(metric.name for metric in one.metrics),
        )
        for one in current().scenarios
    ]


def _metrics(results: Path) -> list[ListedMetric]:
    return [
        ListedMetric(
            metric=one.name, unit=one.unit, better=one.better, role=one.role, definition=one.definition
        )
        for one in current().metrics.values()
    ]


def _runs(results: Path) -> list[ListedRun]:
    rows = []
    for directory in history.directories(results):
        try:
            run = store.load(directory).run
        except StoreError as error:
            rows.append(ListedRun(run=str(directory), started="", status="unreadable", what=str(error)))
            continue
        what = f"{run.plan.profile}: {', '.join(arm.name for arm in run.plan.arms)}"
        status = store.status(directory, run)
        rows.append(ListedRun(run=str(directory), started=run.started, status=status, what=what))
    return rows


_LISTS: dict[Subject, Callable[[Path], Rows]] = {
    Subject.backends: _backends,
    Subject.scenarios: _scenarios,
    Subject.metrics: _metrics,
    Subject.runs: _runs,
}
