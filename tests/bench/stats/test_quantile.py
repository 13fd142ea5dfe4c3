import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as sps

from bench.stats.quantile import design_effect, effective_size, needed, quantile_bounds


def alone(n: int) -> np.ndarray:
    """Every value its own session: no clusters at all."""
    return np.arange(n)


@pytest.mark.parametrize(("q", "n"), [(0.95, 59), (0.99, 299)])
def test_the_largest_value_bounds_a_tail_from_wilks_sample_size_on(q: float, n: int) -> None:
    values = np.arange(n, dtype=np.float64)
    assert quantile_bounds(values, alone(n), q, 0.05).high == n - 1
    assert quantile_bounds(values[1:], alone(n - 1), q, 0.05).high == math.inf
    assert needed(q, n, 0.05) == n


@given(st.integers(20, 120), st.sampled_from([0.1, 0.5, 0.9]))
def test_without_clusters_the_bounds_are_the_binomial_ones(n: int, q: float) -> None:
    values = np.sort(np.random.default_rng(n).random(n))
    found = quantile_bounds(values, alone(n), q, 0.05)
    exact = sps.quantile_test(values, p=q).confidence_interval(0.90)
    assert found.low == (exact.low if math.isfinite(exact.low) else -math.inf)
    assert found.high == (exact.high if math.isfinite(exact.high) else math.inf)


def test_identical_values_in_a_session_count_once() -> None:
    groups, size = 10, 12
    hits = np.repeat(np.array([0.0, 1.0] * 5), size)
    owners = np.repeat(np.arange(groups), size)
    assert design_effect(hits, owners) == pytest.approx((groups * size - 1) / (groups - 1))


def test_few_sessions_are_worth_fewer_values() -> None:
    few = (sps.t.ppf(0.95, 599) / sps.t.ppf(0.95, 3)) ** 2
    assert effective_size(600, 4, 1.0, 0.05) == pytest.approx(600 * few)
    assert effective_size(600, 1, 1.0, 0.05) == 0.0


def test_one_session_bounds_nothing() -> None:
    found = quantile_bounds(np.arange(400.0), np.zeros(400, dtype=np.int64), 0.5, 0.05)
    assert (found.low, found.high) == (-math.inf, math.inf)


def test_a_session_of_slow_starts_widens_the_tail() -> None:
    spread = np.random.default_rng(1).random(1000)
    spread[::100] += 10.0
    gathered = np.concatenate([spread[::100], np.delete(spread, np.s_[::100])])
    owners = np.repeat(np.arange(10), 100)
    even, uneven = (quantile_bounds(v, owners, 0.98, 0.05) for v in (spread, gathered))
    assert uneven.n_effective < even.n_effective
    assert uneven.high > even.high


@given(st.floats(0.01, 100.0))
def test_bounds_scale_with_the_unit(factor: float) -> None:
    values = np.random.default_rng(3).random(200)
    owners = np.repeat(np.arange(5), 40)
    one, other = (quantile_bounds(v, owners, 0.9, 0.05) for v in (values, values * factor))
    assert other.high == pytest.approx(one.high * factor)
    assert other.estimate == pytest.approx(one.estimate * factor)
