"""How many sessions would settle an open comparison, if they go on like those done, or with more pairs
each."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from bench.claims import Claim
from bench.judging.comparisons import Comparison
from bench.judging.pairs import Series
from bench.model import Looks
from bench.stats import quantile
from bench.stats.cluster import Interval
from bench.stats.power import HOPE, MANY, lower_share, median_loss, power_at, sessions_needed
from bench.stats.sequential import level

POWER = 0.8
"""Chance of a verdict that the forecast asks for: "about so many", more often enough than not."""


class SeriesNoise(msgspec.Struct, frozen=True, kw_only=True):
    """Variances of log-ratios: of sessions beyond what their pairs explain, of pairs inside a session.

    done: of the locations of sessions so far. free: degrees of freedom it was estimated with.
    """

    between: float
    within: float
    done: float
    free: int

    def of_session(self, pairs: int) -> float:
        """The variance of the median of so many pairs."""
        return self.between + median_loss(pairs) / pairs * self.within

    @property
    def luck(self) -> float:
        """The lower bound of these variances, as a share of them."""
        return lower_share(self.free)


def noise(series: Series) -> SeriesNoise | None:
    """The noise of a comparison, from its own series and those alike; None with fewer than two sessions.

    Where sessions have one pair each, sessions and pairs cannot be told apart; all noise is taken for that of
    pairs, which is what it is wherever instances are equal.
    """
    parts = [one for one in (series, *series.alike) if one.n_sessions > 1]
    if not parts:
        return None
    free = sum(one.n_sessions - 1 for one in parts)
    total = sum((one.n_sessions - 1) * float(np.var(one.locations, ddof=1)) for one in parts) / free
    pairs = series.n_pairs / series.n_sessions
    if pairs < 2:
        return SeriesNoise(between=0.0, within=total, done=total, free=free)
    inside = float(np.mean([one.within**2 for one in parts]))
    between = max(0.0, total - inside)
    within = inside * (pairs - 1) / (math.pi / 2)
    return SeriesNoise(between=between, within=within, done=max(total, inside), free=free)


def with_pairs(
    claim: Claim, comparison: Comparison, looks: Looks, family: int, pairs: int, *, lucky: bool = False
) -> float:
    """Sessions in all that settle a ratio, if those to come have so many pairs each.

    The first look that is likely passed, if the truth is 1 or if it is the estimate: what is equal is settled
    by its noise alone, and what is far from the margin sooner. lucky: with the noise at its lower bound, and
    a chance of HOPE instead of POWER. Beyond the looks of the plan, what a fixed number of sessions would
    take.
    """
    done, known = comparison.series.n_sessions, noise(comparison.series)
    if known is None or claim.margin is None:
        return done + 1.0
    scale, power = (known.luck, HOPE) if lucky else (1.0, POWER)
    apart = _distance(claim, comparison.bounds(claim.alpha))
    share = claim.alpha if apart >= 0 else claim.alpha / family
    truths = [(abs(math.log(claim.margin)), claim.alpha)]
    truths += [(abs(apart), share)] if math.isfinite(apart) else []
    ahead = known.of_session(pairs)
    for look in range(max(done + 1, looks.first), looks.last + 1):
        deviation = math.sqrt(scale * (done * known.done + (look - done) * ahead) / look)
        for distance, alpha in truths:
            at = level(alpha, look, looks.first, looks.last, final=False)
            if power_at(distance, deviation, look, at) >= power:
                return float(look)
    deviation = math.sqrt(scale * ahead)
    fixed = (sessions_needed(one, deviation, 0.0, alpha, done, power=power) for one, alpha in truths)
    return max(min(fixed), looks.last + 1.0)


def tail_with_visits(
    claim: Claim, comparison: Comparison, looks: Looks, visits: int, values_a_visit: float
) -> float:
    """Sessions in all that give a tail enough values, if those to come have so many visits each."""
    series = comparison.series
    done, each = series.n_sessions, max(1e-9, visits * values_a_visit)
    for look in range(max(done + 1, looks.first), looks.last + 1):
        share = level(claim.alpha, look, looks.first, looks.last, final=look == looks.last)
        if series.n_pairs + (look - done) * each >= values_wanted(comparison, share, look):
            return float(look)
    more = quantile.needed(comparison.tail, MANY, claim.alpha) - series.n_pairs
    return max(looks.last + 1.0, done + math.ceil(more / each))


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
