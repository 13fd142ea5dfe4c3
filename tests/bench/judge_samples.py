"""Made-up samples with a known truth, in the shape of samples.parquet."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from bench.model import ImageInfo, Verdict


def samples(
    metrics: list[str],
    effects: dict[str, float],
    *,
    sessions: int = 6,
    blocks: int = 4,
    noise: float = 0.004,
    luck: float = 0.0,
    unit: str = "events/s",
    better: str = "higher",
    level: float = 100.0,
    seed: int = 1,
) -> pd.DataFrame:
    """One sample a visit: level · exp(effect + session luck + noise); `effects` are log-effects of arms.

    The slice takes the time that its figure says: 0.1 s at the level, less where the figure is better.
    """
    rng = np.random.default_rng(seed)
    arms = list(effects)
    shape = (len(metrics), sessions, blocks, len(arms))
    logs = noise * rng.standard_normal(shape) + luck * rng.standard_normal((*shape[:2], 1, shape[3]))
    logs = logs + np.array([effects[arm] for arm in arms])
    grid = np.indices(shape).reshape(4, -1)
    names = np.array(metrics)[grid[0]]
    count = grid.shape[1]
    return pd.DataFrame(
        {
            "run": "r1",
            "session": grid[1],
            "block": grid[2],
            "order": np.arange(count),
            "scenario": names,
            "arm": np.array(arms)[grid[3]],
            "metric": names,
            "unit": unit,
            "better": better,
            "value": level * np.exp(logs.reshape(-1)),
            "start_ns": np.arange(count),
            "duration_ns": (1e8 * np.exp(logs.reshape(-1) * (-1 if better == "higher" else 1))).astype(
                np.int64
            ),
            "valid": True,
            "reason": "",
        }
    )


ARMS = {"host": 0.0, "host-b": 0.0, "runtime": 0.0}
VM_ARMS = {**ARMS, "vm-tcg": math.log(40.0)}
SLOWED = -math.log(1.02)
"""What 2 % of extra work does to the logarithm of a rate."""

ALL_ARMS = {**ARMS, "runtime-b": 0.0, "host-2pct": SLOWED}


def find(rows: list[Verdict], claim: str, metric: str, arm: str = "runtime") -> Verdict:
    """The one row of these names."""
    return next(row for row in rows if (row.claim, row.metric, row.arm) == (claim, metric, arm))


def image(before: str, after: str) -> ImageInfo:
    """An image with its digest before and after."""
    return ImageInfo(reference="nn/bench", digest=before, layers=(), source="mmdebstrap", digest_after=after)
