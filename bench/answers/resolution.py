"""How small a difference the A/A control of a run could have found: what its silence is worth."""

from __future__ import annotations

import math
import statistics

from scipy import special

from bench.answers.instrument import Control
from bench.model import Verdict
from bench.stats.control import FLOOR, RESERVE

POWER = 0.8
"""Chance of finding it."""

_LARGEST = 20.0
"""A log-ratio beyond any difference that somebody could ask for."""


def resolution(control: Control) -> float | None:
    """The difference, as a share, that this control finds with chance POWER in half of its metrics.

    None where fewer than two sessions leave nothing to say. The test is that of bench.stats.control for one
    metric as the worst of all; a shift common to all metrics is found earlier.
    """
    rows = [row for row in control.rows if row.low and row.high and row.n_sessions > 1]
    if control.joint is None or not rows:
        return None
    level = control.joint.alpha * RESERVE / 2 / len(rows)
    return math.expm1(min(_LARGEST, statistics.median(_found(row, level) for row in rows)))


def _found(row: Verdict, level: float) -> float:
    """The log-ratio that one metric's two-sided test at `level` finds with chance POWER."""
    free = row.n_sessions - 1
    error = math.log((row.high or 1.0) / (row.low or 1.0)) / 2 / _t(1 - row.alpha, free)
    return _t(1 - level / 2, free) * (error + FLOOR / math.sqrt(row.n_sessions)) + _t(POWER, free) * error


def _t(chance: float, free: int) -> float:
    return float(special.stdtrit(free, chance))
