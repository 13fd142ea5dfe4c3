"""How long a judge takes for 100 000 samples over 1 000 metrics: from the CSV's bytes to the verdicts."""

from __future__ import annotations

from functools import cache

import numpy as np
import pandas as pd
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.foreign import judge_table
from bench.foreign.delimited import read

pytestmark = pytest.mark.micro

METRICS, SESSIONS, BLOCKS, SYSTEMS = 1_000, 5, 10, 2


@cache
def whole(metrics: int) -> pd.DataFrame:
    """100 values of two systems a metric."""
    shape = (metrics, SESSIONS, BLOCKS, SYSTEMS)
    metric, session, block, system = np.indices(shape).reshape(4, -1)
    return pd.DataFrame(
        {
            "metric": np.char.add("metric ", metric.astype(str)),
            "system": np.where(system == 0, "host", "box"),
            "session": session,
            "block": block,
            "value": 100 * np.exp(0.01 * np.random.default_rng(1).standard_normal(metric.size)),
            "better": "lower",
        }
    )


def csv(columns: list[str], metrics: int) -> bytes:
    """With those of the columns session and block that are named."""
    return whole(metrics).drop(columns=list({"session", "block"} - set(columns))).to_csv(index=False).encode()


@pytest.mark.parametrize("columns", [["session", "block"], ["session"], ["block"], []], ids=" ".join)
@pytest.mark.parametrize("holm", [False, True])
def test_a_hundred_thousand_samples(benchmark: BenchmarkFixture, columns: list[str], holm: bool) -> None:
    metrics = METRICS // 10 if benchmark.disabled else METRICS  # then nothing is timed
    data = csv(columns, metrics)

    def judge() -> int:
        return len(judge_table(read(data, "samples.csv"), "host", 0.99, 0.05, holm=holm))

    assert benchmark.pedantic(judge, rounds=3) == metrics
