"""How many more sessions would settle it, from the spread between and within sessions.

The test is one-sided Student's t over session medians (bench.stats.cluster), so its power is that of the
noncentral t distribution (Johnson, Kotz & Balakrishnan 1995, vol. 2, ch. 31). All numbers are logarithms of
ratios unless named otherwise. The forecast is a fixed number of sessions; with looks (bench.stats.sequential)
it is more if the truth is near the margin and fewer if it is far from it.
"""

from __future__ import annotations

import math

from scipy import special

MANY = 10_000
"""With more sessions, measuring longer is not a practical advice: a night, at three seconds per session."""

LUCKY = 0.2
"""Chance that noise is truly below the lower bound of `lower_share`."""

HOPE = 0.5
"""Chance of a verdict, with luck in the noise, below which a comparison is given up."""

MEDIAN_LOSS = (1.0, 1.0, 1.346, 1.190, 1.434, 1.287, 1.474, 1.341, 1.496, 1.383)
"""Variance of the median of n = 1 … 10 normal values over that of their mean (simulated; limit π/2)."""


def power_at(distance: float, sd: float, sessions: int, alpha: float) -> float:
    """Return the chance that the one-sided t-test at level `alpha` decides if the truth is `distance` off the
    margin.

    P(T > t(1 − alpha, G − 1)) with T noncentral t, G − 1 degrees, noncentrality √G · distance / sd.
    """
    if sessions < 2 or distance <= 0.0:
        return 0.0
    if sd <= 0.0:
        return 1.0
    shift = math.sqrt(sessions) * distance / sd
    critical = -float(special.stdtrit(sessions - 1, alpha))
    below = float(special.nctdtr(sessions - 1, shift, critical))
    if math.isnan(below):  # underflow, far out in a tail
        return float(shift > critical)
    return 1.0 - below


def sessions_needed(
    estimate_log: float, sd_log: float, margin_log: float, alpha: float, done: int, *, power: float = 0.8
) -> float:
    """Return the total number of sessions, with those done, that give a verdict with chance `power`.

    estimate_log is taken as the truth; sd_log is the standard deviation of session locations. At least done +
    1, since those done have not settled it; infinite if MANY would not be enough or a number is not finite.
    """
    if not all(map(math.isfinite, (estimate_log, sd_log, margin_log))):
        return math.inf
    distance = abs(estimate_log - margin_log)
    if power_at(distance, sd_log, MANY, alpha) < power:
        return math.inf
    low, high = 1, MANY
    while high - low > 1:
        middle = (low + high) // 2
        if power_at(distance, sd_log, middle, alpha) >= power:
            high = middle
        else:
            low = middle
    return float(max(high, done + 1))


def lower_share(free: int) -> float:
    """The lower bound of a variance at LUCKY, as a share of its estimate with so many degrees of freedom."""
    return float(free / special.chdtri(free, LUCKY))


def session_sd(between_sd: float, within_sd: float, pairs_per_session: int) -> float:
    """Standard deviation of one session's median: √(between² + loss(n) · within² / n)."""
    inside = median_loss(pairs_per_session) / pairs_per_session * within_sd**2
    return math.sqrt(between_sd**2 + inside)


def median_loss(count: int) -> float:
    """Variance of the median of `count` normal values, over that of their mean."""
    return MEDIAN_LOSS[count - 1] if count <= len(MEDIAN_LOSS) else math.pi / 2.0
