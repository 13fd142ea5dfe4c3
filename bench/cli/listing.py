"""The verb `list`: backends, scenarios, metrics and runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bench.cli import setup, tables
from bench.cli.console import line, out, print_json
from bench.cli.dependencies import cache_dir, current
from bench.cli.errors import COMPLETE
from bench.cli.names import Subject
from bench.host.check import State


class ListedBackend(msgspec.Struct, frozen=True, kw_only=True):
    """A system under test. state: whether it runs here; found: its version, or why it does not."""

    backend: str
    state: State
    found: str


class ListedScenario(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured together. metrics: their names, with spaces between them."""

    scenario: str
    family: str
    kind: str
    metrics: str


class ListedMetric(msgspec.Struct, frozen=True, kw_only=True):
    """One number with its definition."""

    metric: str
    unit: str
    better: str
    role: str
    definition: str


class ListedRun(msgspec.Struct, frozen=True, kw_only=True):
    """A run below the results directory. what: its profile and arms, or why it cannot be read."""

    run: str
    started: str
    status: str
    what: str


class Lists(msgspec.Struct, frozen=True, kw_only=True):
    """`list`; `list WHAT` prints the one list alone."""

    backends: tuple[ListedBackend, ...]
    scenarios: tuple[ListedScenario, ...]
    metrics: tuple[ListedMetric, ...]
    runs: tuple[ListedRun, ...]


def show_list(subject: Subject | None, results: Path, as_json: bool) -> int:
    """Print one list, or all; return the exit status."""
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
        for one in setup.backend_checks(setup.probe_all(current(), cache_dir()))
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
    from bench import history, store  # which import pandas

    rows = []
    for directory in history.directories(results):
        try:
            run = store.load(directory).run
        except store.StoreError as error:
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
