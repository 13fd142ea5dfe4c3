"""What a self-test found: how far two copies of the same thing differ on this host, by metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Literal

import msgspec
import numpy as np

from bench.stats.location import Floats

LEAST_SESSIONS = 3
"""Sessions from which a noise is told at all."""


OUTLYING = 3.0
"""Standard deviations beyond which a pair says something of a moment and not of the host."""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """One metric's noise: standard deviations of log-ratios host / host, so 0.01 is 1 %.

    between: from session to session beyond what the pairs explain. within: a pair inside a session.
    """

    metric: str
    sessions: int
    pairs: int
    between: float
    within: float


class Noise(msgspec.Struct, frozen=True, kw_only=True):
    """A self-test's result.

    kind: `image` where the suite's own slices ran in host instances, `rough` for the built-in work.
    seconds: it took in all. spreads: by metric. slices: median seconds of a slice, by scenario, as it was
    here. trouble: what could not be tried, and why.
    """

    kind: Literal["image", "rough"]
    seconds: float
    spreads: tuple[Spread, ...]
    slices: dict[str, float]
    trouble: tuple[str, ...] = ()


class Pairs:
    """Collects log-ratios by metric and session, and the seconds of slices by scenario."""

    def __init__(self) -> None:
        self._ratios: dict[str, dict[int, list[float]]] = {}
        self._seconds: dict[str, list[float]] = {}

    def add(self, session: int, first: Mapping[str, float], second: Mapping[str, float]) -> None:
        """One pair of slices: {metric: value} of each. Values that are not above 0 form no pair."""
        for metric in first.keys() & second.keys():
            if first[metric] > 0 and second[metric] > 0:
                ratio = math.log(second[metric] / first[metric])
                self._ratios.setdefault(metric, {}).setdefault(session, []).append(ratio)

    def took(self, scenario: str, seconds: float) -> None:
        """One slice of a scenario took so long."""
        self._seconds.setdefault(scenario, []).append(seconds)

    def spreads(self, order: Sequence[str]) -> tuple[Spread, ...]:
        """The noise of each metric that has enough sessions, in the given order."""
        known = {metric: list(self._ratios[metric].values()) for metric in order if metric in self._ratios}
        return spreads({metric: one for metric, one in known.items() if len(one) >= LEAST_SESSIONS})

    def slices(self) -> dict[str, float]:
        """Median seconds of a slice by scenario."""
        return {name: round(median(seconds), 4) for name, seconds in self._seconds.items()}


def spreads(found: Mapping[str, Sequence[Sequence[float]]]) -> tuple[Spread, ...]:
    """The noise by metric from log-ratios, a list of pairs for each session.

    A few pairs a metric cannot tell apart what comes from sessions and what from pairs. So each metric gives
    its own total, about a mean that is known (two copies of one thing: 0), and all together give the share of
    sessions in it: one less the mean square inside sessions over the mean square in all, at least 0 (analysis
    of variance; Searle, Casella & McCulloch 1992, §3.6), as if fresh instances added an equal share to all.
    """
    arrays = {
        metric: [np.asarray(one, dtype=np.float64) for one in sessions] for metric, sessions in found.items()
    }
    totals = {metric: _root_mean_square(np.concatenate(sessions)) for metric, sessions in arrays.items()}
    inside = degrees = squares = count = 0.0
    for metric, sessions in arrays.items():
        unit = totals[metric]
        for one in sessions if unit > 0 else ():
            scaled = np.clip(one / unit, -OUTLYING, OUTLYING)
            squares += float(np.sum(scaled**2))
            count += scaled.size
            inside += float(np.sum((scaled - scaled.mean()) ** 2))
            degrees += scaled.size - 1
    share = max(0.0, 1.0 - (inside / degrees) / (squares / count)) if degrees and squares else 0.0
    return tuple(
        Spread(
            metric=metric,
            sessions=len(sessions),
            pairs=sum(one.size for one in sessions),
            between=math.sqrt(share) * totals[metric],
            within=math.sqrt(1.0 - share) * totals[metric],
        )
        for metric, sessions in arrays.items()
    )


def _root_mean_square(values: Floats) -> float:
    """About 0; values beyond OUTLYING typical ones count as that: the judge's medians bear such ones too."""
    usual = 1.4826 * float(np.median(np.abs(values)))
    return float(np.sqrt(np.mean(np.minimum(np.abs(values), OUTLYING * usual) ** 2)))
