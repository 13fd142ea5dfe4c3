"""The difference of two independent groups, for values that cannot be paired.

Of logarithms, the difference is the log of a ratio. Two methods: Welch's t on means, for session locations of
two runs; Hodges and Lehmann's shift for single values, which a few outliers hardly affect.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import special

from bench.stats.cluster import Interval
from bench.stats.location import Floats

EXACT = 20
"""Up to so many values in both groups, ranks are counted exactly; beyond, by the normal limit."""

TABLE = 1_000_000
"""Up to so many differences are listed and sorted; beyond, the wanted ones are found by bisection."""


def welch(a_locations: Floats, b_locations: Floats, alpha: float) -> Interval:
    """One-sided bounds at level `alpha` for mean(a) − mean(b), groups independent, variances unequal.

    Shapes (a,), (b,), in their unit. d ± t(1 − alpha, ν) · √(u + v) with u = s_a²/n_a, v = s_b²/n_b and
    ν = (u + v)² / (u²/(n_a − 1) + v²/(n_b − 1)) (Welch 1947, Biometrika 34, 28–35; Satterthwaite 1946,
    Biometrics Bull. 2, 110–114). `n_clusters` is the smaller group. A group of one leaves the
    bounds infinite, an empty one leaves nan.
    """
    smaller = min(int(a_locations.size), int(b_locations.size))
    if smaller == 0:
        nan = float("nan")
        return Interval(estimate=nan, low=nan, high=nan, se=nan, n_clusters=0)
    centre = float(np.mean(a_locations) - np.mean(b_locations))
    if smaller == 1:
        return Interval(estimate=centre, low=-math.inf, high=math.inf, se=math.inf, n_clusters=1)
    u, v = (float(np.var(one, ddof=1)) / one.size for one in (a_locations, b_locations))
    se = math.sqrt(u + v)
    if se == 0.0:
        return Interval(estimate=centre, low=centre, high=centre, se=0.0, n_clusters=smaller)
    # As shares, so that the squares of tiny variances do not underflow.
    share, rest = u / (u + v), v / (u + v)
    free = 1.0 / (share**2 / (a_locations.size - 1) + rest**2 / (b_locations.size - 1))
    half = float(special.stdtrit(free, 1.0 - alpha)) * se
    return Interval(estimate=centre, low=centre - half, high=centre + half, se=se, n_clusters=smaller)


def shift(a_values: Floats, b_values: Floats, alpha: float) -> Interval:
    """Hodges–Lehmann shift of a against b: the median of all differences, bounds from the rank-sum test.

    Shapes (a,), (b,). The bounds are the k-th smallest and largest of the n_a·n_b differences, k from the
    Mann–Whitney distribution: normality is not assumed, only that the groups differ by a shift (Hodges &
    Lehmann 1963, Ann. Math. Statist. 34, 598–611; Hollander & Wolfe 1999, §4.3). Infinite if the groups are
    too small for the level (four against four are enough for 5 % on one side). se is the half width over the
    normal quantile. Values must be independent, which several values of one session are not.
    """
    count, other = int(a_values.size), int(b_values.size)
    if min(count, other) == 0:
        nan = float("nan")
        return Interval(estimate=nan, low=nan, high=nan, se=nan, n_clusters=0)
    pick = _differences(np.sort(a_values), np.sort(b_values))
    total = count * other
    estimate = (pick((total + 1) // 2) + pick(total // 2 + 1)) / 2.0
    rank = _rank(count, other, alpha)
    if rank < 1:
        inf, smaller = math.inf, min(count, other)
        return Interval(estimate=estimate, low=-inf, high=inf, se=inf, n_clusters=smaller)
    low, high = pick(rank), pick(total + 1 - rank)
    se = (high - low) / 2.0 / float(special.ndtri(1.0 - alpha))
    return Interval(estimate=estimate, low=low, high=high, se=se, n_clusters=min(count, other))


def _rank(count: int, other: int, alpha: float) -> int:
    """Largest k with P(U <= k − 1) <= alpha for the Mann–Whitney statistic U of two groups; 0 if none."""
    if max(count, other) <= EXACT:
        return int(np.searchsorted(np.cumsum(_mann_whitney(count, other)), alpha, side="right"))
    spread = math.sqrt(count * other * (count + other + 1) / 12.0)
    return max(0, math.floor(count * other / 2.0 + 0.5 + float(special.ndtri(alpha)) * spread))


def _mann_whitney(count: int, other: int) -> Floats:
    """P(U = 0 … count · other): ways to choose `count` of the ranks, by sum less the smallest sum."""
    ways = np.zeros((count + 1, count * other + 1))
    ways[0, 0] = 1.0
    for place in range(count + other):
        for chosen in range(min(count, place + 1), 0, -1):
            moved = place - (chosen - 1)
            if moved <= other:
                ways[chosen, moved:] += ways[chosen - 1, : ways.shape[1] - moved]
    return np.asarray(ways[count] / ways[count].sum())


def _differences(a: Floats, b: Floats) -> Callable[[int], float]:
    """The k-th smallest (from 1) of all a_i − b_j of two sorted groups, as a function of k."""
    if a.size * b.size <= TABLE:
        table = np.sort((a[:, None] - b[None, :]).ravel())
        return lambda k: float(table[k - 1])

    def kth(k: int) -> float:
        low, high = float(a[0] - b[-1]), float(a[-1] - b[0])
        while True:
            middle = low + (high - low) / 2.0
            if not low < middle < high:
                return high
            if int(np.searchsorted(a, b + middle, side="right").sum()) >= k:
                high = middle
            else:
                low = middle

    return kth
