"""The change between two independent sets of session locations: bounds, and tests against a tolerance.

Sessions of two runs are not paired: NEW's fifth session has nothing in common with OLD's fifth. So this is
Welch's t over the difference of the two means (Welch 1947, Biometrika 34, 28–35), with Satterthwaite's
degrees of freedom (1946, Biometrics Bull. 2, 110–114), limited by the smaller run. Satterthwaite's are
estimated: four sessions that agree by chance make the error small and the degrees many. Far out in the tail,
which Holm's correction for 40 metrics uses, four sessions against sixteen erred two to four times as often as
allowed. So the degrees are at most PLANNED times n − 1 of the smaller run, which changes nothing if both have
the same number of sessions. For runs that stopped by looks the factor is LOOKED, because looks end a metric
sooner if its sessions agree by chance. Both factors come from simulation (bench.compare.simulate, tables in
docs/validation.md).
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec
import numpy as np
from scipy import special

from bench.stats.location import Floats

Side = Literal["less", "greater"]

PLANNED, LOOKED = 2.0, 1.5

_ROUNDING = 1e-12
"""A relative spread that comes from rounding the mean of equal numbers."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """NEW minus OLD, larger is better, with a one-sided bound at alpha on either side, and p-values.

    Small p_worse: it is below −tolerance. Small p_not_worse: it is not below that. Small p_better: it is
    above +tolerance.
    """

    estimate: float
    low: float
    high: float
    p_worse: float
    p_not_worse: float
    p_better: float


Moments = tuple[Floats, Floats, Floats]
"""(mean, standard deviation with ddof 1, number of sessions), of any common shape."""


def change(
    old: Floats, new: Floats, tolerance: float, alpha: float, *, tied: bool = False, looked: bool = False
) -> Change:
    """The change from old, shape (n,), to new, shape (m,), with n, m >= 2 and tolerance >= 0, in their unit.

    tied: the values are counts, which may agree exactly. For them, and if nothing varies at all, p is at
    least the smallest of a permutation test, 1 / C(n + m, n), because t without variance proves nothing.
    looked: either run may have stopped because of its data.
    """
    before, after = _moments(old), _moments(new)
    centre, se, free = (float(one) for one in difference(before, after, looked=looked))
    varies = se > _ROUNDING * max(1.0, float(np.max(np.abs(new))))
    floor = 1.0 / math.comb(old.size + new.size, old.size) if tied or not varies else 0.0
    half = float(special.stdtrit(free, 1.0 - alpha)) * se if varies else 0.0

    def p(edge: float, side: Side, apart: bool) -> float:
        if not varies:
            return floor if apart else 1.0
        return max(floor, float(p_values(before, after, edge, side, looked=looked)))

    return Change(
        estimate=centre,
        low=centre - half,
        high=centre + half,
        p_worse=p(-tolerance, "less", centre < -tolerance),
        p_not_worse=p(-tolerance, "greater", centre >= -tolerance),
        p_better=p(tolerance, "greater", centre > tolerance),
    )


def difference(old: Moments, new: Moments, *, looked: bool = False) -> tuple[Floats, Floats, Floats]:
    """(mean(new) − mean(old), its standard error, degrees of freedom), by element.

    se² = u + v with u = s_old²/n_old, v = s_new²/n_new; df = se⁴ / (u²/(n_old − 1) + v²/(n_new − 1)), at most
    PLANNED (or LOOKED) · (smaller n − 1).
    """
    (mean_old, sd_old, n_old), (mean_new, sd_new, n_new) = old, new
    u, v = sd_old**2 / n_old, sd_new**2 / n_new
    most = (LOOKED if looked else PLANNED) * (np.minimum(n_old, n_new) - 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = u / (u + v)  # as shares, so that the squares of tiny variances do not underflow
        free = 1.0 / (share**2 / (n_old - 1.0) + (1.0 - share) ** 2 / (n_new - 1.0))
    return mean_new - mean_old, np.sqrt(u + v), np.fmin(free, most)


def p_values(old: Moments, new: Moments, edge: float, side: Side, *, looked: bool = False) -> Floats:
    """One-sided p that mean(new) − mean(old) is below (`less`) or above `edge`, by element."""
    centre, se, free = difference(old, new, looked=looked)
    t = (centre - edge) / se
    tail = special.stdtr(free, t if side == "less" else -t)
    return np.asarray(tail, dtype=np.float64)


def _moments(values: Floats) -> Moments:
    return np.asarray(np.mean(values)), np.asarray(np.std(values, ddof=1)), np.asarray(float(values.size))
