"""Tables for the terminal: verdicts, backends, scenarios, runs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from rich.console import Console
from rich.table import Table

from bench.cli.console import complain, out, print_json
from bench.model import ALL, JOINT, NotMeasured, Run, Verdict
from bench.store import Loaded

_STYLE = {"supported": "green", "refuted": "red", "inconclusive": "yellow", "not measured": "dim"}


def damaged(loaded: Loaded) -> bool:
    """Return whether a file of the run was cut off; name each on standard error."""
    for sentence in loaded.recovered:
        complain(sentence)
    return bool(loaded.recovered)


def show_run(run: Run, found: list[Verdict], as_json: bool) -> None:
    """Print a run's heading, its verdicts, and what was not measured."""
    if as_json:
        print_json({"run": run.id, "status": run.status, "verdicts": found, "not_measured": run.not_measured})
        return
    console = out()
    heading(console, run)
    verdicts(console, found)
    not_measured(console, run.not_measured)


def verdicts(console: Console, found: Sequence[Verdict]) -> None:
    """One row per verdict, in the order of the claims; not-measured ones share a row per claim and arm."""
    table = _table("claim", "arm", "metric", "estimate [interval]", "margin", "verdict", "why")
    for one in _gathered(found):
        table.add_row(
            one.claim,
            one.arm,
            one.metric,
            _interval(one),
            "" if one.margin is None else f"{one.margin:.4g}",
            state(one),
            plainly(one.reason),
        )
    console.print(table)


def deciding(run: Run, found: Sequence[Verdict]) -> list[Verdict]:
    """Select the rows to show first: no stress metrics, and of the controls only the joint result."""
    stress = {metric.name for metric in run.plan.metrics if metric.role != "primary"}
    return [
        one
        for one in found
        if one.metric not in stress and (one.arm not in run.plan.controls or one.metric == JOINT)
    ]


def not_measured(console: Console, missing: Iterable[NotMeasured]) -> None:
    """One row per arm and reason; nothing if everything was measured."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in missing:
        groups.setdefault((one.arm, one.reason), []).append(one.metric or "everything")
    rows = [(arm, plainly(reason), ", ".join(metrics)) for (arm, reason), metrics in groups.items()]
    if rows:
        console.print()
        plain(console, ("not measured", "reason", "metrics"), rows)


def plain(console: Console, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print a table of texts."""
    table = _table(*heads)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def heading(console: Console, run: Run) -> None:
    """Print the run's id, profile and host."""
    console.print(
        f"run {run.id} ({run.plan.profile}, seed {run.plan.seed}, {run.status}) on {run.host.hostname}: "
        f"{run.host.cpu_model}, kernel {run.host.kernel}, cgroups {run.host.cgroup_layout}",
        markup=False,
        highlight=False,
    )


def _gathered(found: Sequence[Verdict]) -> list[Verdict]:
    """Not-measured rows of one claim and arm become one that counts their metrics."""
    groups: dict[tuple[str, str, str], list[Verdict]] = {}
    for one in found:
        key = (one.claim, one.arm, "" if one.verdict == "not measured" else one.metric)
        groups.setdefault(key, []).append(one)
    return [_counted(rows) for rows in groups.values()]


def _counted(rows: list[Verdict]) -> Verdict:
    if len(rows) == 1:
        return rows[0]
    names = ", ".join(row.metric for row in rows if row.metric != ALL)
    return msgspec.structs.replace(rows[0], metric=f"{len(rows)} rows", notes=(*rows[0].notes, names))


def state(one: Verdict) -> str:
    """Return the verdict in its colour."""
    return f"[{_STYLE[one.verdict]}]{one.verdict}[/]"


def plainly(text: str) -> str:
    """Escape brackets, which rich would read as markup."""
    return text.replace("[", r"\[")


def _interval(one: Verdict) -> str:
    if one.estimate is None:
        return ""
    if one.low is None or one.high is None:
        return f"{one.estimate:.4g}"
    return rf"{one.estimate:.4g} \[{one.low:.4g}, {one.high:.4g}]"


def _table(*heads: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_edge=False)
    for head in heads:
        table.add_column(head, overflow="fold")
    return table
