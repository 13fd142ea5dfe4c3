"""Bounds for a quantile from order statistics: no assumed distribution, corrected for clusters.

With independent values the k-th order statistic bounds the q-quantile by the binomial law (Wilks 1941;
Conover 1999, §3.2). Values of one session are not independent, so the binomial is taken with an effective
sample size: n divided by Kish's design effect, corrected for the few clusters as Korn & Graubard (1998),
Survey Methodology 24(2), 193–201, do for rare events in cluster surveys: n* = n / deff · (t(n−1) / t(G−1))²,
never above n.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from scipy import special

from bench.stats.location import Floats, Ints


class QuantileBounds(msgspec.Struct, frozen=True, kw_only=True):
    """A sample quantile with one-sided bounds, infinite if the sample is too small for one."""

    estimate: float
    low: float
    high: float
    n: int
    n_effective: float


def design_effect(hits: Floats, clusters: Ints) -> float:
    """Kish's design effect of a proportion: its variance over clusters / that of as many independent values.

    `hits` is 0 or 1, shape (n,). Var = G/(G−1) · Σ_g (Σ_j (y_gj − ȳ))² / n² against ȳ(1 − ȳ)/(n − 1); at
    least 1.
    Source: Kish (1965), Survey Sampling, ch. 5 and 8. The design effect is exactly 1
    if every value is its own cluster, or if all values agree.
    """
    count = hits.size
    mean = float(np.mean(hits))
    if mean in (0.0, 1.0):
        return 1.0
    _, index = np.unique(clusters, return_inverse=True)
    totals = np.bincount(index, weights=hits - mean)
    groups = totals.size
    if groups < 2:
        return float(count)
    variance = groups / (groups - 1) * float(np.sum(totals**2)) / count**2
    return max(1.0, variance / (mean * (1.0 - mean) / (count - 1)))


def effective_size(n: int, groups: int, deff: float, alpha: float) -> float:
    """Korn & Graubard's effective sample size, between 0 (one group) and n."""
    if groups < 2 or n < 2:
        return 0.0
    few = float(special.stdtrit(n - 1, 1 - alpha) / special.stdtrit(groups - 1, 1 - alpha)) ** 2
    return min(float(n), n / deff * few)


def quantile_bounds(values: Floats, clusters: Ints, q: float, alpha: float) -> QuantileBounds:
    """One-sided bounds at level `alpha` for the q-quantile of `values`, shape (n,), n >= 1.

    high: the smallest x(k) whose Clopper–Pearson lower bound of F, with n* trials, reaches q.
    low: the largest x(k) for which the upper bound of the share below it stays at or under q.
    """
    ordered = np.sort(values)
    n = int(ordered.size)
    estimate = float(ordered[max(0, math.ceil(n * q - 1e-9) - 1)])
    deff = design_effect((values > estimate).astype(np.float64), clusters)
    size = effective_size(n, int(np.unique(clusters).size), deff, alpha)
    if size <= 0.0:
        return QuantileBounds(estimate=estimate, low=-math.inf, high=math.inf, n=n, n_effective=0.0)
    share = np.arange(1, n + 1) / n * size
    covered = np.asarray(special.betaincinv(share, size - share + 1.0, alpha) >= q)
    before = np.arange(n) / n * size
    passed = np.asarray(special.betaincinv(before + 1.0, size - before, 1.0 - alpha) <= q)
    return QuantileBounds(
        estimate=estimate,
        low=float(ordered[np.flatnonzero(passed)[-1]]) if passed.any() else -math.inf,
        high=float(ordered[np.argmax(covered)]) if covered.any() else math.inf,
        n=n,
        n_effective=size,
    )


def needed(q: float, groups: int, alpha: float) -> int:
    """Return how many values are needed, without a design effect, for an upper bound of the q-quantile to
    exist.

    n* >= ln alpha / ln q (Wilks 1941: 59 for q = 0.95, 299 for q = 0.99), divided by the few-clusters factor.
    """
    independent = math.ceil(math.log(alpha) / math.log(q) - 1e-9)
    if groups < 2:
        return independent
    few = float(special.stdtrit(independent - 1, 1 - alpha) / special.stdtrit(groups - 1, 1 - alpha)) ** 2
    return math.ceil(independent / min(1.0, few))
