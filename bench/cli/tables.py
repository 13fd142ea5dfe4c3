"""Verdicts, backends, scenarios and runs as tables for a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.table import Table

from bench.model import NotMeasured, Run, Verdict

_STYLE = {"supported": "green", "refuted": "red", "inconclusive": "yellow", "not measured": "dim"}


def verdicts(console: Console, found: Sequence[Verdict]) -> None:
    """One row a verdict, in the order of the claims."""
    table = _table("claim", "backend", "metric", "estimate [interval]", "margin", "verdict", "why")
    for one in found:
        table.add_row(
            one.claim,
            one.backend,
            one.metric,
            _interval(one),
            "" if one.margin is None else f"{one.margin:.4g}",
            f"[{_STYLE[one.verdict]}]{one.verdict}[/]",
            one.reason.replace("[", r"\["),
        )
    console.print(table)


def not_measured(console: Console, missing: Iterable[NotMeasured]) -> None:
    """What is absent and why; nothing when all is there."""
    rows = [(one.backend, one.metric or "everything", one.reason.replace("[", r"\[")) for one in missing]
    if rows:
        plain(console, ("not measured", "metric", "reason"), rows)


def plain(console: Console, heads: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table of texts."""
    table = _table(*heads)
    for row in rows:
        table.add_row(*row)
    console.print(table)


def heading(console: Console, run: Run) -> None:
    """Who, when, on what."""
    console.print(
        f"run {run.id} ({run.plan.profile}, seed {run.plan.seed}, {run.status}) on {run.host.hostname}: "
        f"{run.host.cpu_model}, kernel {run.host.kernel}, cgroups {run.host.cgroup_layout}",
        markup=False,
        highlight=False,
    )


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
