"""How the interval of each ratio narrowed from session to session."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from bench.judging.comparisons import RunSeries, exponential
from bench.judging.pairs import collect
from bench.stats.cluster import t_interval

ALPHA = 0.05

Widths = tuple[tuple[int, float], ...]
"""(sessions, half of the interval's width as a share) from the second session on."""


def widths(samples: pd.DataFrame, baseline: str, copies: Mapping[str, str]) -> dict[tuple[str, str], Widths]:
    """The course of every (metric, arm) beside `baseline`, by the judge's rule at a fixed 95 %.

    copies: second copies that count in the pairs (bench.model.Plan.counted).
    """
    found = {}
    for key, series in RunSeries(collect(samples), copies=copies).pooled(baseline).items():
        spans = [
            (number, exponential(t_interval(series.locations[:number], ALPHA)))
            for number in range(2, series.n_sessions + 1)
        ]
        kept = [(number, (one.high - one.low) / 2) for number, one in spans if math.isfinite(one.high)]
        found[key] = tuple(kept)
    return found
