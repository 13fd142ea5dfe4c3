"""One row per metric and arm: worse, not worse or cannot tell, and better, gone or new."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal

import msgspec
import numpy as np

from bench.claims import Claims
from bench.compare import words
from bench.compare.drafts import RowDraft, RowRole, Settings, draft, margin, numbers, role_of, wanted
from bench.compare.sides import Scale, Side
from bench.judging import missing
from bench.judging.pairs import Key
from bench.judging.rows import finite, join, notes
from bench.model import State, Verdict
from bench.profiles import MOST_SESSIONS
from bench.stats.multiple import holm

RowState = Literal["worse", "gone", "cannot tell", "not worse", "better", "new"]

CLAIM = "compare"

STATES: dict[RowState, State] = {
    "worse": "refuted",
    "gone": "not measured",
    "cannot tell": "inconclusive",
    "not worse": "supported",
    "better": "supported",
    "new": "not measured",
}
"""Each state, the worst first, with the verdict for it."""

HOPELESS = 15.0
"""If the margin is this many times nearer than the bound, over 200 times as many sessions are needed."""

_ROLES: tuple[RowRole, ...] = ("primary", "stress", "context")


class ComparedRow(msgspec.Struct, frozen=True, kw_only=True):
    """One metric on one arm. verdict has the numbers: NEW / OLD in performance, or NEW − OLD in `unit`.

    role context: the host itself, which does not decide. old, new: typical values, in `unit`. p: of being
    worse; p_adjusted: corrected for all rows of its role (Holm). sentence: the row in words.
    """

    state: RowState
    role: RowRole
    scale: Scale
    unit: str
    scenario: str
    old: float | None
    new: float | None
    n_old: int
    n_new: int
    p: float | None
    p_adjusted: float | None
    sentence: str
    verdict: Verdict


def rows_of(old: Side, new: Side, claims: Claims, settings: Settings) -> list[ComparedRow]:
    """Return all rows, the worst first."""
    keys = wanted(old, new, settings)
    drafts = [draft(key, old, new, claims, settings) for key in keys if old.has(key) and new.has(key)]
    rows = [row for role in _ROLES for row in _judged([d for d in drafts if d.role == role], settings)]
    rows += [_absent(key, old, new, settings) for key in keys if old.has(key) != new.has(key)]
    return ordered(rows)


def ordered(rows: Iterable[ComparedRow]) -> list[ComparedRow]:
    """Sort rows, the worst first: by state, by role, by size."""

    def rank(row: ComparedRow) -> tuple[int, int, float, str, str]:
        one = row.verdict
        much = one.estimate if one.estimate is not None and row.scale != "difference" else math.inf
        return list(STATES).index(row.state), _ROLES.index(row.role), much, one.metric, one.arm

    return sorted(rows, key=rank)


def restated(row: ComparedRow, state: RowState, reason: str) -> ComparedRow:
    """Return the row with another state and reason, in its sentence and verdict, too."""
    verdict = msgspec.structs.replace(row.verdict, verdict=STATES[state], notes=(reason, *row.verdict.notes))
    sentence = words.sentence(verdict, row.scale, row.unit, row.role, state)
    return msgspec.structs.replace(row, state=state, sentence=sentence, verdict=verdict)


def _judged(drafts: Sequence[RowDraft], settings: Settings) -> list[ComparedRow]:
    """Return the rows of one role: `worse` and `better` at alpha over all (Holm), `not worse` each by itself.

    `not worse` needs no correction: a gate passes only if every row is, an intersection–union test. Rows that
    may not decide, because of their sessions, are not counted as tests.
    """
    ready = [(one, one.found) for one in drafts if one.found is not None and not one.short]
    worse = holm(np.array([found.p_worse for _, found in ready]))
    better = holm(np.array([found.p_better for _, found in ready]))
    adjusted = {one.key: (float(p), float(q)) for (one, _), p, q in zip(ready, worse, better, strict=True)}
    return [_row(one, adjusted.get(one.key), settings) for one in drafts]


def _row(one: RowDraft, adjusted: tuple[float, float] | None, settings: Settings) -> ComparedRow:
    state, why = _state(one, adjusted, settings.alpha)
    estimate, low, high = numbers(one)
    verdict = Verdict(
        claim=CLAIM,
        metric=one.key[0],
        arm=one.key[1],
        baseline=one.baseline,
        estimate=estimate,
        low=low,
        high=high,
        margin=margin(one, settings),
        alpha=settings.alpha,
        n_sessions=min(one.n_old, one.n_new),
        n_pairs=one.n_pairs,
        verdict=STATES[state],
        notes=notes(why, *one.left_out),
        emulated=one.emulated,
    )
    return ComparedRow(
        state=state,
        role=one.role,
        scale=one.scale,
        unit=one.unit,
        scenario=one.scenario,
        old=finite(one.old),
        new=finite(one.new),
        n_old=one.n_old,
        n_new=one.n_new,
        p=one.found.p_worse if adjusted and one.found else None,
        p_adjusted=adjusted[0] if adjusted else None,
        sentence=words.sentence(verdict, one.scale, one.unit, one.role, state),
        verdict=verdict,
    )


def _state(one: RowDraft, adjusted: tuple[float, float] | None, alpha: float) -> tuple[RowState, str]:
    if adjusted is None or one.found is None:
        return "cannot tell", one.short
    if adjusted[0] <= alpha:
        return "worse", ""
    if adjusted[1] <= alpha:
        return "better", ""
    if one.found.p_not_worse <= alpha:
        return "not worse", ""
    if one.found.p_worse <= alpha:
        return "cannot tell", f"worse by itself, but not as the worst of many (Holm's p is {adjusted[0]:.2g})"
    return "cannot tell", join("a change as large as the margin is neither shown nor excluded", _outlook(one))


def _outlook(one: RowDraft) -> str:
    """Estimate how many sessions would decide: the interval shrinks with the root of their number."""
    if one.found is None:
        return ""
    half, distance = one.found.estimate - one.found.low, abs(one.found.estimate + one.tolerance)
    if distance <= half / HOPELESS:
        return "too close to the margin to be decided by more sessions"
    sessions = max(
        math.ceil(max(one.n_old, one.n_new) * (half / distance) ** 2), one.n_old + 1, one.n_new + 1
    )
    if sessions > MOST_SESSIONS:
        return "not in sight: no profile has as many sessions as would decide it"
    return f"about {sessions} sessions like these in each run would decide (`ninetynine run --profile full`)"


def _absent(key: Key, old: Side, new: Side, settings: Settings) -> ComparedRow:
    """Return the row of a metric that only one of the runs has."""
    gone = old.has(key)
    there = old if gone else new
    state: RowState = "gone" if gone else "new"
    own = there.values[key]
    why = _why_absent(key, old, new) if gone else "OLD did not have it"
    verdict = msgspec.structs.replace(
        missing.empty(CLAIM, *key, "", why), margin=settings.margin, alpha=settings.alpha
    )
    typical = float(np.median(own.locations))
    role, unit = role_of(key, old, new), there.visits.unit[key[0]]
    return ComparedRow(
        state=state,
        role=role,
        scale="value",
        unit=unit,
        scenario=there.visits.scenario.get(key[0], ""),
        old=finite(typical) if gone else None,
        new=None if gone else finite(typical),
        n_old=own.n_sessions if gone else 0,
        n_new=0 if gone else own.n_sessions,
        p=None,
        p_adjusted=None,
        sentence=words.sentence(verdict, "value", unit, role, state),
        verdict=verdict,
    )


def _why_absent(key: Key, old: Side, new: Side) -> str:
    """Return why NEW did not measure it, in NEW's own words if there are any."""
    metric, arm = key
    names = (arm, old.loaded.run.plan.arm[arm].backend)
    for gap in new.loaded.run.not_measured:
        if gap.arm in names and gap.metric in ("", metric):
            return f"not measured in NEW: {gap.reason}"
    lost = new.visits.lost.get(key)
    if lost is not None:
        return f"NEW has no valid sample of it ({lost.reason})"
    if arm not in (*new.arms, new.baseline):
        return f"{arm} was not in the plan of NEW"
    if metric not in new.metrics:
        return "it was not in the plan of NEW"
    return "NEW did not measure it"
