"""The A/A control of a run: rows of `control.aa`, and whether anything else may be believed.

Every pair of two copies of one arm (the host, the runtime) takes part, and all are judged as one test: one
promise for the run, however many pairs and metrics there are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import msgspec
import numpy as np

from bench.claims import Claims, Control, Positive, matches
from bench.judging.comparisons import RunSeries, exponential
from bench.judging.pairs import Series
from bench.judging.rows import Gate, count, notes, percent, row
from bench.model import AA, JOINT, Plan, State, Verdict
from bench.stats.cluster import Interval, t_interval
from bench.stats.control import FLOOR, RESERVE, joint_control
from bench.stats.location import Floats
from bench.stats.multiple import holm

ROW_ALPHA = 0.05

Pair = tuple[str, str]
"""(copy, what it is a copy of)."""

Cell = tuple[str, str, str]
"""(metric, copy, what it is a copy of)."""


class Joint(msgspec.Struct, frozen=True, kw_only=True):
    """The one test over all pairs and metrics. adjusted, common: doubled, as each is half of the test."""

    p: float
    adjusted: dict[Cell, float]
    common: dict[Pair, float]


def pairs_of(claims: Claims, plan: Plan | None) -> tuple[Pair, ...]:
    """The pairs of copies: the plan's, and without a plan (or a control in it) those of the claims file."""
    return (plan.copies if plan else ()) or claims.control.pairs


def control_rows(
    claims: Claims, evidence: RunSeries, gate: Gate, skip: frozenset[str], pairs: tuple[Pair, ...]
) -> list[Verdict]:
    """The joint row first, then one row per metric and pair. Without pairs the joint row alone, saying so."""
    found = {
        (metric, arm, original): series
        for arm, original in pairs
        for (metric, other), series in evidence.ratios(original).items()
        if other == arm and metric not in skip
    }
    fit = {place: series for place, series in found.items() if series.n_sessions >= gate.min_sessions}
    why_not = _why_not(gate, pairs[0], found.values())
    if gate.smoke or not fit:
        empty = Interval(estimate=math.nan, low=math.nan, high=math.nan, se=math.nan, n_clusters=0)
        first = control_row(AA, claims.control, (JOINT, *pairs[0]), empty, 0, "inconclusive", (why_not,))
        return [first, *(_plain(claims.control, place, series, why_not) for place, series in found.items())]
    result = joined(fit, claims.control.counts)
    level = claims.control.alpha * RESERVE
    rows = (_metric_row(claims.control, place, found[place], result, level, gate) for place in found)
    return [_joint(claims.control, fit, result, level, pairs), *rows]


def joined(fit: Mapping[Cell, Series], counts: tuple[str, ...]) -> Joint:
    """Holm over every metric of every pair, and one common shift a pair; half of the level for each half.

    The shifts of several pairs share their half by Bonferroni. Neither asks how pairs or metrics depend.
    """
    own = _tested(fit, counts)[0]
    adjusted = dict(zip(fit, np.minimum(1.0, 2.0 * own).tolist(), strict=True))
    pairs = list(dict.fromkeys(place[1:] for place in fit))
    shifts = holm(
        np.array([_tested({p: s for p, s in fit.items() if p[1:] == pair}, counts)[1] for pair in pairs])
    )
    common = dict(zip(pairs, np.minimum(1.0, 2.0 * shifts).tolist(), strict=True))
    return Joint(p=min([*adjusted.values(), *common.values()]), adjusted=adjusted, common=common)


def _tested(fit: Mapping[Cell, Series], counts: tuple[str, ...]) -> tuple[Floats, float]:
    """(Holm-adjusted p-values of the metrics, p-value of a shift common to all)."""
    within = np.array([series.within for series in fit.values()])
    mask = np.array([matches(metric, counts) for metric, _, _ in fit])
    result = joint_control(matrix(fit.values()), within, FLOOR, mask)
    return result.metrics, float(result.common)


def matrix(fit: Iterable[Series]) -> Floats:
    """Session locations as (metrics, sessions), nan where a session lacks a metric."""
    rows = list(fit)
    width = 1 + max(int(series.clusters.max()) for series in rows)
    table = np.full((len(rows), width), np.nan)
    for place, series in enumerate(rows):
        table[place, series.clusters] = series.locations
    return table[:, ~np.all(np.isnan(table), axis=0)]


def mean_ratio(fit: Iterable[Series], alpha: float) -> Interval:
    """The mean over metrics of a session, bounded over sessions."""
    return exponential(t_interval(np.nanmean(matrix(fit), axis=0), alpha))


def _joint(
    control: Control, fit: dict[Cell, Series], result: Joint, level: float, pairs: tuple[Pair, ...]
) -> Verdict:
    failed = result.p <= level
    silent = [pair for pair in pairs if pair not in result.common]
    texts = notes(
        f"{count(len(fit), 'metric')} of {count(len(result.common), 'pair')} judged together, "
        f"p = {result.p:.2g}, fails at {level:g} or below",
        f"two copies of one arm differ: {', '.join(_guilty(fit, result, level))}" if failed else "",
        *(f"no {arm} beside {original} to compare" for arm, original in silent),
    )
    state: State = "refuted" if failed else "supported"
    interval = mean_ratio(fit.values(), control.alpha)
    total = sum(series.n_pairs for series in fit.values())
    return control_row(AA, control, (JOINT, *pairs[0]), interval, total, state, texts)


def _guilty(fit: dict[Cell, Series], result: Joint, level: float) -> list[str]:
    """What differs, and by how much."""
    named = [
        f"{metric} of {arm} by {percent(float(np.mean(fit[metric, arm, original].locations)))}"
        for (metric, arm, original), p in result.adjusted.items()
        if p <= level
    ]
    for pair, p in result.common.items():
        if p <= level:
            shift = np.nanmean(matrix(series for place, series in fit.items() if place[1:] == pair))
            named.append(f"a shift common to all metrics of {pair[0]} by {percent(float(shift))}")
    return named


def _metric_row(
    control: Control, place: Cell, series: Series, result: Joint, level: float, gate: Gate
) -> Verdict:
    interval = exponential(t_interval(series.locations, ROW_ALPHA))
    p = result.adjusted.get(place)
    state: State = "inconclusive"
    if p is None:
        reason = f"{count(series.n_sessions, 'session')}, the control needs at least {gate.min_sessions}"
    elif p <= level:
        state, reason = "refuted", f"two copies of the same arm differ, p = {p:.2g} over all metrics"
    elif interval.low >= control.margin and interval.high <= 1.0 / control.margin:
        state, reason = "supported", "equal within the margin on both sides"
    else:
        reason = (
            f"no difference as the worst of {len(result.adjusted)}, but the interval is wider than the "
            "margin on one side or both"
        )
    return control_row(AA, control, place, interval, series.n_pairs, state, (reason,))


def _plain(control: Control, place: Cell, series: Series, reason: str) -> Verdict:
    interval = exponential(t_interval(series.locations, ROW_ALPHA))
    return control_row(AA, control, place, interval, series.n_pairs, "inconclusive", (reason,))


def _why_not(gate: Gate, first: Pair, found: Iterable[Series]) -> str:
    if gate.smoke:
        return "the smoke profile never gives a verdict"
    most = max((series.n_sessions for series in found), default=0)
    if not most:
        return f"no pairs of {first[0]} against {first[1]}"
    return f"{count(most, 'session')}, the control needs at least {gate.min_sessions}"


def control_row(
    claim: str,
    control: Control | Positive,
    place: Cell,
    interval: Interval,
    n_pairs: int,
    state: State,
    texts: tuple[str, ...],
) -> Verdict:
    """One row of a control, judged at its own alpha where it is the joint one."""
    alpha = control.alpha if place[0] == JOINT else ROW_ALPHA
    return row(claim, place, interval, control.margin, alpha, n_pairs, state, texts)
