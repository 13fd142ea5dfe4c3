"""Intervals where the session, not the sample, is the unit of replication.

Samples of one session share page placement, core placement and the luck of a boot. So each session is first
reduced to one robust number; Student's t over these few numbers gives the interval. That is the group-based
t-test of Ibragimov & Müller (2010), J. Bus. Econ. Statist. 28(4), 453–468: for q groups whose
estimates are independent and near normal but of unequal variance, the two-sided test stays conservative at
levels up to 8.3 % (Bakirov & Székely 2005), and up to 10 % (our one-sided 5 %) for 2 <= q <= 14. Why not
a bootstrap: bench.stats.validate.estimators, with a table in docs/validation.md.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from scipy import special

from bench.stats.location import Floats


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A centre with two one-sided bounds, each holding with confidence 1 − alpha (both: 1 − 2 alpha)."""

    estimate: float
    low: float
    high: float
    se: float
    n_clusters: int


def t_interval(locations: Floats, alpha: float) -> Interval:
    """One-sided bounds at level `alpha` for the mean of cluster locations, shape (clusters,).

    estimate ± t(1 − alpha, G − 1) · s / √G with s the standard deviation of the G locations (ddof 1).
    With one cluster the bounds are infinite; with none all numbers are nan.
    """
    count = int(locations.size)
    if count == 0:
        nan = float("nan")
        return Interval(estimate=nan, low=nan, high=nan, se=nan, n_clusters=0)
    centre = float(np.mean(locations))
    if count == 1:
        return Interval(estimate=centre, low=-math.inf, high=math.inf, se=math.inf, n_clusters=1)
    se = float(np.std(locations, ddof=1)) / math.sqrt(count)
    half = float(special.stdtrit(count - 1, 1.0 - alpha)) * se
    return Interval(estimate=centre, low=centre - half, high=centre + half, se=se, n_clusters=count)
