"""What the judge takes for a whole run's samples, and a look for those so far."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from bench.claims import load
from bench.judge import judge
from bench.judging.deciding import progress
from tests.bench.judge_samples import ALL_ARMS, samples
from tests.bench.looking import plan

pytestmark = pytest.mark.micro

CLAIMS = load()


def frame(metrics: int, sessions: int, blocks: int) -> pd.DataFrame:
    """Rates near the margin, a third of them too noisy to decide, some lost."""
    arms = {**ALL_ARMS, "docker": math.log(0.99), "vm-kvm": -0.05}
    names = [f"cpu.sim{n}" for n in range(metrics)]
    found = samples(names, arms, sessions=sessions, blocks=blocks, noise=0.02, luck=0.005)
    lost = np.arange(len(found)) % 50 == 0
    found.loc[lost, ["valid", "reason"]] = [False, "taken under pressure"]
    return found


def test_a_hundred_thousand_samples_of_a_thousand_metrics(benchmark: BenchmarkFixture) -> None:
    given = frame(1000, 5, 3)
    assert len(given) > 100_000
    benchmark.pedantic(lambda: judge(given, CLAIMS), rounds=3)


@pytest.mark.parametrize("sessions", [5, 24])
def test_a_look_at_a_run_of_sixty_metrics(benchmark: BenchmarkFixture, sessions: int) -> None:
    given = frame(60, sessions, 2)
    planned = plan(sorted(set(given["scenario"])))
    benchmark.pedantic(lambda: progress(given, CLAIMS, planned, sessions), rounds=3)
