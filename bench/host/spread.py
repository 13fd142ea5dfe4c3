"""What a self-test found: how far two copies of the same thing differ on this host, by metric."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Literal

import msgspec
import numpy as np

from bench.stats.power import variance_components

LEAST_SESSIONS = 3
"""Sessions from which a spread between sessions can be told at all from the spread inside them."""


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
        known = {metric: self._ratios[metric] for metric in order if metric in self._ratios}
        return tuple(
            spread(metric, list(sessions.values()))
            for metric, sessions in known.items()
            if len(sessions) >= LEAST_SESSIONS
        )

    def slices(self) -> dict[str, float]:
        """Median seconds of a slice by scenario."""
        return {name: round(median(seconds), 4) for name, seconds in self._seconds.items()}


def spread(metric: str, sessions: Sequence[Sequence[float]]) -> Spread:
    """The noise in log-ratios, a list of pairs for each session."""
    between, within = variance_components([np.asarray(one, dtype=np.float64) for one in sessions])
    pairs = sum(map(len, sessions))
    return Spread(metric=metric, sessions=len(sessions), pairs=pairs, between=between, within=within)
