"""The change between two independent sets of session locations: bounds, and tests against a tolerance.

Sessions of two runs are not paired: NEW's fifth session has nothing in common with OLD's fifth. So it is
Welch's t over the difference of the two means, with Satterthwaite's degrees of freedom
(bench.stats.unpaired.welch).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import msgspec
import numpy as np
from scipy import stats as sps

from bench.stats.location import Floats
from bench.stats.unpaired import welch

Side = Literal["less", "greater"]

_ROUNDING = 1e-12
"""Relative spread that is only the rounding of a mean of equal numbers."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """NEW minus OLD, larger is better, with a one-sided bound at alpha on either side, and p-values.

    Small p_worse: it is lower than −tolerance. Small p_not_worse: it is no lower than that. Small p_better:
    it is higher than +tolerance.
    """

    estimate: float
    low: float
    high: float
    p_worse: float
    p_not_worse: float
    p_better: float


def change(old: Floats, new: Floats, tolerance: float, alpha: float, *, tied: bool = False) -> Change:
    """The change from old, shape (n,), to new, shape (m,), with n, m >= 2 and tolerance >= 0, in their unit.

    tied: the values are counts, which may agree exactly. For them, and where nothing varies at all, no p
    lies below the least that a permutation test can give, 1 / C(n + m, n): a t without a variance proves
    nothing.
    """
    bounds = welch(new, old, alpha)
    varies = bounds.se > _ROUNDING * max(1.0, float(np.max(np.abs(new))))
    floor = 1.0 / math.comb(old.size + new.size, old.size) if tied or not varies else 0.0
    centre = bounds.estimate

    def p(edge: float, side: Side, apart: bool) -> float:
        if not varies:
            return floor if apart else 1.0
        return max(floor, float(p_values(_moments(old), _moments(new), edge, side)))

    return Change(
        estimate=centre,
        low=bounds.low,
        high=bounds.high,
        p_worse=p(-tolerance, "less", centre < -tolerance),
        p_not_worse=p(-tolerance, "greater", centre >= -tolerance),
        p_better=p(tolerance, "greater", centre > tolerance),
    )


Moments = tuple[Floats, Floats, Floats]
"""(mean, standard deviation with ddof 1, number of sessions), of any common shape."""


def p_values(old: Moments, new: Moments, edge: float, side: Side) -> Floats:
    """One-sided p of Welch's test that mean(new) − mean(old) is below (`less`) or above `edge`."""
    test: Any = sps.ttest_ind_from_stats  # its stubs know no arrays of floats
    found = test(*new, old[0] + edge, *old[1:], equal_var=False, alternative=side)
    return np.asarray(found.pvalue, dtype=np.float64)


def _moments(values: Floats) -> Moments:
    return np.asarray(np.mean(values)), np.asarray(np.std(values, ddof=1)), np.asarray(float(values.size))
