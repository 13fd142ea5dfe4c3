"""The result of a self-test: by how much two copies of the same arm differ on this host, by metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Literal

import msgspec
import numpy as np

from bench.stats.location import Floats

LEAST_SESSIONS = 3
"""With fewer sessions no noise is reported."""

OUTLYING = 3.0
"""Standard deviations beyond which a pair reflects a single event and not the host."""


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """One metric's noise: standard deviations of log-ratios host / host, so 0.01 is 1 %.

    between: of sessions, beyond what the pairs explain. within: of pairs inside a session.
    """

    metric: str
    sessions: int
    pairs: int
    between: float
    within: float


class Noise(msgspec.Struct, frozen=True, kw_only=True):
    """A self-test's result.

    kind: `image` if the suite's own slices ran in host instances, `rough` for the built-in work. seconds: the
    total time. spreads: by metric. slices: median seconds of a slice, by scenario. trouble: what could not be
    tested, and why.
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
        """Add one pair of slices: {metric: value} of each. Values that are not above 0 are ignored."""
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
        """Return the median seconds of a slice, by scenario."""
        return {name: round(median(seconds), 4) for name, seconds in self._seconds.items()}


def spreads(found: Mapping[str, Sequence[Sequence[float]]]) -> tuple[Spread, ...]:
    """Return the noise by metric from log-ratios, a list of pairs for each session.

    A few pairs per metric cannot separate the variance of sessions from that of pairs. So each metric gives
    its own total, about the known mean 0 (both arms are the same), and all metrics together give the share of
    sessions in it: 1 less the mean square inside sessions over the total mean square, at least 0 (analysis of
    variance; Searle, Casella & McCulloch 1992, §3.6). This assumes that sessions have the same share
    everywhere.
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
    """Root mean square about 0; larger values are cut to OUTLYING typical ones, since medians ignore them,
    too."""
    usual = 1.4826 * float(np.median(np.abs(values)))
    return float(np.sqrt(np.mean(np.minimum(np.abs(values), OUTLYING * usual) ** 2)))
