import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as sps

from bench.stats.power import (
    median_loss,
    power_at,
    session_sd,
    sessions_needed,
)

MARGIN = math.log(0.99)
SPREADS = st.floats(0.001, 0.1)
DISTANCES = st.floats(0.002, 0.05)


def test_sample_size_of_a_published_example() -> None:
    # G*Power's manual, one-sample t, one tail: d 0.625, alpha and beta 0.05 take N = 30.
    assert sessions_needed(0.0, 8.0, -5.0, 0.05, 0, power=0.95) == 30


def test_power_is_the_share_of_runs_that_decide() -> None:
    rng = np.random.default_rng(5)
    runs = 0.01 + 0.01 * rng.standard_normal((20_000, 6))
    low = runs.mean(axis=1) - sps.t.ppf(0.95, 5) * runs.std(axis=1, ddof=1) / math.sqrt(6)
    assert power_at(0.01, 0.01, 6, 0.05) == pytest.approx(float(np.mean(low > 0)), abs=0.01)


@given(DISTANCES, SPREADS, st.integers(0, 40))
def test_the_number_named_is_the_first_that_has_the_power(distance: float, sd: float, done: int) -> None:
    needed = sessions_needed(MARGIN + distance, sd, MARGIN, 0.05, done)
    if math.isfinite(needed):
        assert needed > done
        assert power_at(distance, sd, int(needed), 0.05) >= 0.8
        assert needed <= max(2, done + 1) or power_at(distance, sd, int(needed) - 1, 0.05) < 0.8


@given(DISTANCES, SPREADS)
def test_it_matters_how_far_the_margin_is_and_not_on_which_side(distance: float, sd: float) -> None:
    above = sessions_needed(MARGIN + distance, sd, MARGIN, 0.05, 0)
    assert above == sessions_needed(MARGIN - distance, sd, MARGIN, 0.05, 0)
    assert above >= sessions_needed(MARGIN + 2 * distance, sd, MARGIN, 0.05, 0)
    assert above <= sessions_needed(MARGIN + distance, 2 * sd, MARGIN, 0.05, 0)
    assert above <= sessions_needed(MARGIN + distance, sd, MARGIN, 0.01, 0)


@pytest.mark.parametrize("estimate", [MARGIN, MARGIN + 1e-7, math.nan, math.inf])
def test_on_the_margin_or_without_an_estimate_no_number_is_promised(estimate: float) -> None:
    assert sessions_needed(estimate, 0.01, MARGIN, 0.05, 5) == math.inf


def test_sessions_that_agree_exactly_need_one_more() -> None:
    assert sessions_needed(0.0, 0.0, MARGIN, 0.05, 7) == 8


@pytest.mark.parametrize("pairs", [1, 2, 3, 4, 6, 9])
def test_a_sessions_median_is_as_noisy_as_its_parts_say(pairs: int) -> None:
    rng = np.random.default_rng(pairs)
    noise = rng.normal(0.0, 0.02, (40_000, pairs)) + rng.normal(0.0, 0.01, (40_000, 1))
    told = session_sd(0.01, 0.02, pairs)
    assert told == pytest.approx(float(np.median(noise, axis=1).std()), rel=0.015)
    assert median_loss(pairs) >= 1.0
