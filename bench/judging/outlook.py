"""How many sessions would settle an open comparison, if they go on like those done."""

from __future__ import annotations

import math

from bench.claims import Claim
from bench.judging.comparisons import Comparison
from bench.model import Looks
from bench.stats import quantile
from bench.stats.cluster import Interval
from bench.stats.power import power_at, sessions_needed
from bench.stats.sequential import level

POWER = 0.8
"""Chance of a verdict that the forecast asks for: "about so many", more often enough than not."""


def values_wanted(comparison: Comparison, alpha: float) -> int:
    """Values without which a tail has no bound against the claim; 0 where any number gives one."""
    if not comparison.tail:
        return 0
    return quantile.needed(comparison.tail, comparison.series.n_sessions, alpha)


def needed(claim: Claim, comparison: Comparison, interval: Interval) -> float:
    """Sessions in all that a fixed number of them would take; inf where none in sight would do.

    A tail has no standard error: as many more sessions as its values lack, or twice those done where they
    lack none and the bound is too wide yet.
    """
    series = comparison.series
    if comparison.tail:
        wanted = values_wanted(comparison, claim.alpha)
        return _until(comparison, wanted if wanted > series.n_pairs else 2 * series.n_pairs)
    return sessions_needed(
        _distance(claim, interval), _deviation(interval), 0.0, claim.alpha, series.n_sessions, power=POWER
    )


def needed_with_looks(claim: Claim, comparison: Comparison, interval: Interval, looks: Looks) -> float:
    """The same for a run that looks: the first look whose level is likely passed.

    Where no look of the plan is, what a fixed number of sessions would take, and more than the plan has.
    """
    plain = needed(claim, comparison, interval)
    distance, deviation = abs(_distance(claim, interval)), _deviation(interval)
    if comparison.tail or not math.isfinite(distance) or not math.isfinite(deviation):
        return plain
    for look in range(comparison.series.n_sessions + 1, looks.last + 1):
        share = level(claim.alpha, look, looks.first, looks.last, final=False)
        if power_at(distance, deviation, look, share) >= POWER:
            return float(look)
    return max(plain, looks.last + 1.0)


def _until(comparison: Comparison, values: int) -> float:
    """Sessions until there are so many values, at the pace so far."""
    series = comparison.series
    return float(max(series.n_sessions + 1, math.ceil(series.n_sessions * values / max(1, series.n_pairs))))


def _distance(claim: Claim, interval: Interval) -> float:
    """From the margin to the estimate, on the scale on which the interval is symmetric."""
    margin = math.nan if claim.margin is None else claim.margin
    if claim.kind == "absolute":
        return interval.estimate - margin
    if not (interval.estimate > 0 and margin > 0):
        return math.nan
    return math.log(interval.estimate / margin)


def _deviation(interval: Interval) -> float:
    """Standard deviation of a session's location."""
    return interval.se * math.sqrt(interval.n_clusters)
