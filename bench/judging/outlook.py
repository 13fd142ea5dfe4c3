"""How many sessions would settle an open comparison, if they go on like those done."""

from __future__ import annotations

import math

from bench.claims import Claim
from bench.judging.comparisons import Comparison
from bench.model import Looks
from bench.stats import quantile
from bench.stats.cluster import Interval
from bench.stats.power import MANY, power_at, sessions_needed
from bench.stats.sequential import level

POWER = 0.8
"""Chance of a verdict that the forecast asks for: "about so many", more often enough than not."""


def values_wanted(comparison: Comparison, alpha: float, sessions: int | None = None) -> int:
    """Values without which a tail has no bound against the claim; 0 where any number gives one.

    In so many sessions, or in those done: more sessions need fewer values.
    """
    if not comparison.tail:
        return 0
    return quantile.needed(comparison.tail, sessions or comparison.series.n_sessions, alpha)


def needed(claim: Claim, comparison: Comparison, interval: Interval) -> float:
    """Sessions in all that a fixed number of them would take; inf where none in sight would do."""
    done = comparison.series.n_sessions
    if comparison.tail:
        return float(_tail_sessions(comparison, claim.alpha))
    return sessions_needed(
        _distance(claim, interval), _deviation(interval), 0.0, claim.alpha, done, power=POWER
    )


def needed_with_looks(claim: Claim, comparison: Comparison, interval: Interval, looks: Looks) -> float:
    """The same for a run that looks: the first look whose level is likely passed.

    Where no look of the plan is, what a fixed number of sessions would take, and more than the plan has.
    """
    distance, deviation = abs(_distance(claim, interval)), _deviation(interval)
    for look in range(comparison.series.n_sessions + 1, looks.last + 1):
        share = level(claim.alpha, look, looks.first, looks.last, final=False)
        if comparison.tail:
            likely = share > 0 and look >= _tail_sessions(comparison, share, look)
        else:
            likely = power_at(distance, deviation, look, share) >= POWER
        if likely:
            return float(look)
    return max(needed(claim, comparison, interval), looks.last + 1.0)


def _tail_sessions(comparison: Comparison, alpha: float, start: int = 0) -> int:
    """Sessions that give a tail enough values for a bound; twice those done where it has them and is open.

    A tail has no standard error to forecast from. start: the fewest sessions to consider.
    """
    series = comparison.series
    if series.n_pairs >= values_wanted(comparison, alpha):
        return 2 * series.n_sessions
    pace = series.n_pairs / series.n_sessions
    sessions = max(start, series.n_sessions + 1)
    while sessions * pace < values_wanted(comparison, alpha, sessions):
        sessions = max(sessions + 1, math.floor(quantile.needed(comparison.tail, MANY, alpha) / pace))
    return sessions


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
