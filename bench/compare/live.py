"""Before a live run says *worse* it measures again: what a second run has to show.

NEW is measured; whatever is worse in it is measured a second time, in a fresh run of only the families it
belongs to; and worse stays only what the second run shows alone, at the same alpha (Holm over the suspects).

Error rates. A false `worse` needs the first run to err (at most alpha over all rows of a role) *and* the
second one. Were they independent that would be alpha². They are not: both are compared with one OLD, and a
lucky OLD makes both look worse, so alpha is the only bound we promise. docs/validation.md has simulated
figures. A true loss is missed more often than by one run: both have to see it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from bench.compare import words
from bench.compare.compare_runs import RunComparison
from bench.compare.gate import named, outcome
from bench.compare.rows import ComparedRow, ordered, restated
from bench.stats.multiple import holm


def suspects(comparison: RunComparison) -> list[ComparedRow]:
    """Rows that are worse and speak of a backend: what a second run has to confirm."""
    return [row for row in comparison.rows if row.state == "worse" and row.role != "context"]


def families(rows: Sequence[ComparedRow], family_of: Mapping[str, str]) -> list[str]:
    """The families to measure again. family_of: by scenario, whose first word stands in where it is new."""
    return sorted({family_of.get(row.scenario, row.scenario.split(".")[0]) for row in rows})


def confirm(first: RunComparison, second: RunComparison | None, why: str = "") -> RunComparison:
    """The first comparison, with what the second does not confirm turned into `cannot tell`.

    second: None where the second run is no result, for the reason `why`.
    """
    guilty = suspects(first)
    again = {named(row): row for row in (second.rows if second else ())}
    confirmed = {
        name: p
        for role in ("primary", "stress")
        for name, p in _adjusted([row for row in guilty if row.role == role], again).items()
    }
    rows = []
    for row in first.rows:
        if row not in guilty:
            rows.append(row)
            continue
        told = _told(again.get(named(row)), why)
        if confirmed[named(row)] <= first.settings.alpha:
            rows.append(restated(row, "worse", f"confirmed by a second run{told}"))
        else:
            rows.append(restated(row, "cannot tell", f"worse in one run, not confirmed by a second{told}"))
    rows = ordered(rows)
    return msgspec.structs.replace(first, rows=tuple(rows), outcome=outcome(rows))


def _adjusted(guilty: Sequence[ComparedRow], again: Mapping[str, ComparedRow]) -> dict[str, float]:
    """Holm over the suspects of one role, with the second run's own p-values; 1 where it has none."""
    found = [again.get(named(row)) for row in guilty]
    p = [1.0 if row is None or row.p is None else row.p for row in found]
    return {named(row): float(value) for row, value in zip(guilty, holm(np.array(p)), strict=True)}


def _told(row: ComparedRow | None, why: str) -> str:
    if why:
        return f": {why}"
    if row is None or row.verdict.estimate is None:
        return ": it has no numbers of it"
    one = row.verdict
    if row.scale == "difference":
        return f": {words.amount(one.estimate, row.unit)} NEW − OLD"
    return f": {words.percent(one.estimate)} ({words.percent(one.low)} to {words.percent(one.high)})"
