"""How small a difference the A/A control of a run could have found: what its silence is worth."""

from __future__ import annotations

import math
import statistics

import msgspec
from scipy import special

from bench.answers.instrument import Control
from bench.answers.metric_names import plain_metric
from bench.claims import Claims
from bench.model import Verdict
from bench.stats.control import FLOOR, RESERVE

POWER = 0.8
"""Chance of finding it."""

_LARGEST = 20.0
"""A log-ratio beyond any difference that somebody could ask for."""


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """The difference, as a share, that a control finds with chance POWER in each metric, by size.

    decide: whether the metrics are the ones that decide the sentences about a share of the host's
    performance; else they are all that it tests.
    """

    sizes: tuple[float, ...]
    decide: bool

    @property
    def half(self) -> float:
        """What it finds in half of them."""
        return statistics.median(self.sizes)

    def seen(self, difference: float) -> int:
        """In how many of them it finds this difference."""
        return sum(size <= difference for size in self.sizes)


def resolution(control: Control, claims: Claims) -> Resolution | None:
    """What this control could have found, or None where it tested nothing.

    The test is that of bench.stats.control for one metric as the worst of all that have the sessions for it;
    of several pairs of copies, the least sensitive one counts. A shift common to all metrics is found
    earlier.
    """
    rows = [row for row in control.rows if row.low and row.high and row.n_sessions >= claims.min_sessions]
    if control.joint is None or not rows:
        return None
    level = control.joint.alpha * RESERVE / 2 / len(rows)
    found: dict[str, float] = {}
    for row in rows:
        found[row.metric] = max(_found(row, level), found.get(row.metric, 0.0))
    deciding = _deciding(claims)
    kept = [size for metric, size in found.items() if plain_metric(metric) in deciding]
    sizes = sorted(kept or found.values())
    return Resolution(
        sizes=tuple(math.expm1(min(_LARGEST, size)) for size in sizes),
        decide=bool(kept),
    )


def _deciding(claims: Claims) -> set[str]:
    """The metrics of the numbered sentences that ask for a share of a baseline's performance."""
    asked = (claim for claim in claims.claim if claim.number and claim.kind == "ratio")
    return {name for claim in asked if (claim.margin or 1.0) < 1.0 for name in claim.primary}


def _found(row: Verdict, level: float) -> float:
    """The log-ratio that one metric's two-sided test at `level` finds with chance POWER.

    The mean must exceed t · (s + FLOOR) / √G, so that its distance from t · FLOOR / √G over its error has a
    noncentral t. The standard deviation is what is too high as often as too low.
    """
    free = row.n_sessions - 1
    error = math.log((row.high or 1.0) / (row.low or 1.0)) / 2 / _t(1 - row.alpha, free)
    error *= math.sqrt(free / float(special.chdtri(free, 0.5)))
    critical = _t(1 - level / 2, free)
    needed = float(special.nctdtrinc(free, 1 - POWER, critical))
    return critical * FLOOR / math.sqrt(row.n_sessions) + needed * error


def _t(chance: float, free: int) -> float:
    return float(special.stdtrit(free, chance))
