"""How the interval of each ratio narrowed from session to session."""

from __future__ import annotations

import math

import pandas as pd

from bench.judging.comparisons import exponential
from bench.judging.pairs import collect, ratio_series
from bench.stats.cluster import t_interval

ALPHA = 0.05

Widths = tuple[tuple[int, float], ...]
"""(sessions, half of the interval's width as a share) from the second session on."""


def widths(samples: pd.DataFrame, baseline: str) -> dict[tuple[str, str], Widths]:
    """The course of every (metric, arm) beside `baseline`, by the judge's rule at a fixed 95 %."""
    found = {}
    for key, series in ratio_series(collect(samples), baseline).items():
        spans = [
            (number, exponential(t_interval(series.locations[:number], ALPHA)))
            for number in range(2, series.n_sessions + 1)
        ]
        kept = [(number, (one.high - one.low) / 2) for number, one in spans if math.isfinite(one.high)]
        found[key] = tuple(kept)
    return found
