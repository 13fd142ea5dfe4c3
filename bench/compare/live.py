"""A live comparison measures again before it reports *worse*: what the second run must confirm.

NEW is measured. What is worse in it is measured a second time, in a fresh run of only the families concerned.
A row stays worse only if the second run shows it by itself, at the same alpha (Holm over the suspects).

Error rates: a false `worse` needs errors in the first run (at most alpha over all rows of a role) *and* in
the second. If they were independent, that would be alpha². They are not: both are compared with the same OLD,
and a lucky OLD makes both look worse, so alpha is the only bound we promise. docs/validation.md has simulated
figures. A true loss is missed more often than with one run, because both must detect it.
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
    """Return the rows that a second run must confirm: worse, and not of the host itself."""
    return [row for row in comparison.rows if row.state == "worse" and row.role != "context"]


def families(rows: Sequence[ComparedRow], family_of: Mapping[str, str]) -> list[str]:
    """Return the families to measure again. family_of: by scenario; for unknown ones, the first word is
    used."""
    return sorted({family_of.get(row.scenario, row.scenario.split(".")[0]) for row in rows})


def confirm(first: RunComparison, second: RunComparison | None, why: str = "") -> RunComparison:
    """Return the first comparison, with rows that the second does not confirm turned into `cannot tell`.

    second: None if the second run gave no result, because of `why`.
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
        outcome_again = _second(again.get(named(row)), why)
        if confirmed[named(row)] <= first.settings.alpha:
            rows.append(restated(row, "worse", f"confirmed by a second run{outcome_again}"))
        else:
            rows.append(
                restated(row, "cannot tell", f"worse in one run, not confirmed by a second{outcome_again}")
            )
    rows = ordered(rows)
    return msgspec.structs.replace(first, rows=tuple(rows), outcome=outcome(rows))


def _adjusted(guilty: Sequence[ComparedRow], again: Mapping[str, ComparedRow]) -> dict[str, float]:
    """Apply Holm over the suspects of one role to the second run's p-values; missing ones are 1."""
    found = [again.get(named(row)) for row in guilty]
    p = [1.0 if row is None or row.p is None else row.p for row in found]
    return {named(row): float(value) for row, value in zip(guilty, holm(np.array(p)), strict=True)}


def _second(row: ComparedRow | None, why: str) -> str:
    if why:
        return f": {why}"
    if row is None or row.verdict.estimate is None:
        return ": it has no numbers for it"
    one = row.verdict
    if row.scale == "difference":
        return f": {words.amount(one.estimate, row.unit)} NEW − OLD"
    return f": {words.percent(one.estimate)} ({words.percent(one.low)} to {words.percent(one.high)})"
