"""The A/A control of a run: rows of `control.aa`, and whether anything else may be believed."""

from __future__ import annotations

import math

import numpy as np

from bench.claims import Claims, matches
from bench.judging.comparisons import Evidence, exponential
from bench.judging.pairs import Key, Series
from bench.judging.rows import Gate, count, finite, join
from bench.model import State, Verdict
from bench.stats.cluster import t_interval
from bench.stats.control import FLOOR, RESERVE, ControlResult, joint_control
from bench.stats.location import Floats

CLAIM = "control.aa"
JOINT = "joint"
ROW_ALPHA = 0.05


def control_rows(claims: Claims, evidence: Evidence, gate: Gate, skip: frozenset[str]) -> list[Verdict]:
    """The joint row first, then one row a metric. Without a control arm the joint row alone, saying so."""
    control = claims.control
    found = {
        key: series
        for key, series in evidence.ratios(control.baseline).items()
        if key[1] == control.arm and key[0] not in skip
    }
    fit = {key: series for key, series in found.items() if series.n_sessions >= gate.min_sessions}
    if gate.smoke or not fit:
        return [_undecided(claims, _why_not(claims, gate, found)), *_plain_rows(claims, found, gate)]
    result = joint_control(
        _matrix(fit),
        np.array([series.within for series in fit.values()]),
        FLOOR,
        np.array([matches(metric, control.counts) for metric, _ in fit]),
    )
    adjusted = dict(zip(fit, np.minimum(1.0, 2.0 * result.metrics).tolist(), strict=True))
    level = control.alpha * RESERVE
    return [_joint(claims, fit, result, adjusted, level), *_metric_rows(claims, found, adjusted, level, gate)]


def _matrix(fit: dict[Key, Series]) -> Floats:
    """Session locations as (metrics, sessions), nan where a session lacks a metric."""
    width = 1 + max(int(series.clusters.max()) for series in fit.values())
    table = np.full((len(fit), width), np.nan)
    for place, series in enumerate(fit.values()):
        table[place, series.clusters] = series.locations
    return table[:, ~np.all(np.isnan(table), axis=0)]


def _joint(
    claims: Claims, fit: dict[Key, Series], result: ControlResult, adjusted: dict[Key, float], level: float
) -> Verdict:
    p = float(result.joint)
    failed = p <= level
    guilty = [metric for (metric, _), value in adjusted.items() if value <= level]
    if failed and 2.0 * float(result.common) <= level:
        guilty.append("a shift common to all metrics")
    reason = join(
        f"{len(fit)} metrics judged together, p = {p:.2g}, fails at {level:g} or below",
        f"two copies of {claims.control.baseline} differ: {', '.join(guilty)}" if failed else "",
    )
    means = exponential(t_interval(np.nanmean(_matrix(fit), axis=0), claims.control.alpha))
    return _row(
        claims,
        JOINT,
        (means.estimate, means.low, means.high),
        (means.n_clusters, sum(series.n_pairs for series in fit.values())),
        "refuted" if failed else "supported",
        reason,
    )


def _metric_rows(
    claims: Claims, found: dict[Key, Series], adjusted: dict[Key, float], level: float, gate: Gate
) -> list[Verdict]:
    margin = claims.control.margin
    rows = []
    for key, series in found.items():
        interval = exponential(t_interval(series.locations, ROW_ALPHA))
        p = adjusted.get(key)
        state: State = "inconclusive"
        if p is None:
            reason = f"{count(series.n_sessions, 'session')}, the control needs at least {gate.min_sessions}"
        elif p <= level:
            state, reason = "refuted", f"two copies of the same arm differ, p = {p:.2g} over all metrics"
        elif interval.low >= margin and interval.high <= 1.0 / margin:
            state, reason = "supported", "equal within the margin on both sides"
        else:
            reason = "no difference found, but the interval is wider than the margin on one side or both"
        numbers = (interval.estimate, interval.low, interval.high)
        rows.append(_row(claims, key[0], numbers, (series.n_sessions, series.n_pairs), state, reason))
    return rows


def _plain_rows(claims: Claims, found: dict[Key, Series], gate: Gate) -> list[Verdict]:
    reason = _why_not(claims, gate, found)
    rows = []
    for (metric, _), series in found.items():
        interval = exponential(t_interval(series.locations, ROW_ALPHA))
        numbers = (interval.estimate, interval.low, interval.high)
        rows.append(
            _row(claims, metric, numbers, (series.n_sessions, series.n_pairs), "inconclusive", reason)
        )
    return rows


def _why_not(claims: Claims, gate: Gate, found: dict[Key, Series]) -> str:
    if gate.smoke:
        return "the smoke profile never gives a verdict"
    if not found:
        return f"no pairs of {claims.control.arm} against {claims.control.baseline}"
    most = max(series.n_sessions for series in found.values())
    return f"{count(most, 'session')}, the control needs at least {gate.min_sessions}"


def _undecided(claims: Claims, reason: str) -> Verdict:
    nan = math.nan
    return _row(claims, JOINT, (nan, nan, nan), (0, 0), "inconclusive", reason)


def _row(
    claims: Claims,
    metric: str,
    numbers: tuple[float, float, float],
    counts: tuple[int, int],
    state: State,
    reason: str,
) -> Verdict:
    estimate, low, high = map(finite, numbers)
    return Verdict(
        claim=CLAIM,
        metric=metric,
        backend=claims.control.arm,
        baseline=claims.control.baseline,
        estimate=estimate,
        low=low,
        high=high,
        margin=claims.control.margin,
        alpha=claims.control.alpha if metric == JOINT else ROW_ALPHA,
        n_sessions=counts[0],
        n_pairs=counts[1],
        verdict=state,
        reason=reason,
    )
