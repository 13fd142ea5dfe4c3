"""Made-up samples of two systems or more with a known truth, as a data frame with the columns of the CSV."""

from __future__ import annotations

import numpy as np
import pandas as pd


def samples(
    effects: dict[str, float] | None = None,
    *,
    metrics: int = 1,
    sessions: int = 6,
    blocks: int = 5,
    noise: float = 0.004,
    luck: float = 0.0,
    better: str = "lower",
    seed: int = 1,
) -> pd.DataFrame:
    """One value a visit; `effects` are log-performances of the systems, `luck` is a session's own."""
    arms = {"host": 0.0, "box": 0.0} if effects is None else effects
    rng = np.random.default_rng(seed)
    shape = (metrics, sessions, blocks, len(arms))
    logs = noise * rng.standard_normal(shape) + luck * rng.standard_normal((*shape[:2], 1, shape[3]))
    logs = logs + np.array(list(arms.values()))
    metric, session, block, arm = np.indices(shape).reshape(4, -1)
    return pd.DataFrame(
        {
            "metric": np.char.add("m", metric.astype(str)),
            "system": np.array(list(arms))[arm],
            "session": session,
            "block": block,
            "value": 100.0 * np.exp(logs.reshape(-1) * (-1.0 if better == "lower" else 1.0)),
            "better": better,
        }
    )


WAYS = {
    "by block": lambda frame: frame,
    "by session": lambda frame: frame.drop(columns="block"),
    "by lone block": lambda frame: frame.assign(block=frame["session"] * 1000 + frame["block"]).drop(
        columns="session"
    ),
    "unpaired sessions": lambda frame: frame.assign(
        session=frame["session"].astype(str) + frame["system"]
    ).drop(columns="block"),
    "unpaired values": lambda frame: frame.drop(columns=["session", "block"]),
}
"""The ways samples can be paired, each as what is left of a fully labelled frame."""
