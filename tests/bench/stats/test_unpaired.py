import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats as sps

from bench.stats import unpaired
from bench.stats.unpaired import shift, welch

GROUP = arrays(np.float64, st.integers(2, 25), elements=st.floats(-100, 100).map(lambda x: round(x, 3)))


def test_welch_of_a_published_example() -> None:
    # statscodes.com, "Welch's two sample t-tests in R": df = 9.48, 95 % interval -1.935420 to 3.093754.
    a = np.array([5.1, 2.0, 4.1, 6.2, 7.1, 8.3])
    b = np.array([1.5, 6.4, 3.3, 5.8, 4.8, 7.2, 5.6, 4.5])
    found = welch(a, b, alpha=0.025)
    assert (found.low, found.high) == pytest.approx((-1.935420, 3.093754), abs=1e-6)
    assert found.n_clusters == 6


def test_shift_of_the_permeability_data() -> None:
    # Hollander & Wolfe (1973), example 4.1, chorioamnion at term against 12-26 weeks; R's wilcox.test with
    # conf.int gives an estimate of 0.305 and a 95 % interval of -0.15 to 0.76.
    term = np.array([0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46])
    early = np.array([1.15, 0.88, 0.90, 0.74, 1.21])
    found = shift(term, early, alpha=0.025)
    assert (found.estimate, found.low, found.high) == pytest.approx((0.305, -0.15, 0.76), abs=1e-9)


@given(GROUP, GROUP, st.sampled_from([0.05, 0.01]))
def test_welch_agrees_with_scipy(a: np.ndarray, b: np.ndarray, alpha: float) -> None:
    found = welch(a, b, alpha)
    if np.ptp(a) > 1e-3 and np.ptp(b) > 1e-3:
        known = sps.ttest_ind(a, b, equal_var=False).confidence_interval(1 - 2 * alpha)
        assert (found.low, found.high) == pytest.approx((known.low, known.high), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("method", [welch, shift])
@given(a=GROUP, b=GROUP)
def test_swapping_the_groups_mirrors_the_interval(method, a: np.ndarray, b: np.ndarray) -> None:
    one, other = method(a, b, 0.05), method(b, a, 0.05)
    assert (one.low, one.estimate, one.high) == pytest.approx((-other.high, -other.estimate, -other.low))


@pytest.mark.parametrize(("count", "other"), [(4, 4), (5, 9), (12, 7), (20, 20)])
def test_exact_ranks_are_the_tests_own(count: int, other: int) -> None:
    cumulated = np.cumsum(unpaired._mann_whitney(count, other))
    for u in range(0, count * other // 2, 3):
        # A sample whose statistic is u: the p-value of scipy's exact test is P(U <= u).
        ranks = np.zeros(count + other, dtype=bool)
        left = u
        for chosen in range(count - 1, -1, -1):
            step = min(other, left)
            ranks[chosen + step] = True
            left -= step
        places = np.flatnonzero(ranks) * 1.0, np.flatnonzero(~ranks) * 1.0
        told = sps.mannwhitneyu(*places, alternative="less", method="exact").pvalue
        assert cumulated[u] == pytest.approx(told)


def test_a_thousand_against_two_thousand_are_bisected_to_the_same_numbers(monkeypatch) -> None:
    rng = np.random.default_rng(3)
    a, b = rng.standard_normal(900), rng.standard_normal(700) + 0.5
    table = shift(a, b, 0.05)
    monkeypatch.setattr(unpaired, "TABLE", 0)
    bisected = shift(a, b, 0.05)
    assert (bisected.low, bisected.estimate, bisected.high) == pytest.approx(
        (table.low, table.estimate, table.high), abs=1e-12
    )


@pytest.mark.parametrize(("count", "other"), [(6, 6), (15, 30)])
@pytest.mark.parametrize("method", [welch, shift])
def test_each_bound_is_wrong_in_one_run_of_twenty(method, count: int, other: int) -> None:
    rng = np.random.default_rng(11)
    found = [method(rng.standard_normal(count), 3 * rng.standard_normal(other), 0.05) for _ in range(2000)]
    if method is welch:
        assert np.mean([one.low > 0 for one in found]) == pytest.approx(0.05, abs=0.015)
    equal = [method(rng.standard_t(2, count), rng.standard_t(2, other), 0.05) for _ in range(2000)]
    assert np.mean([one.low > 0 for one in equal]) <= 0.05 + 0.015


def test_an_outlier_hardly_moves_the_shift() -> None:
    a, b = np.linspace(1.0, 1.1, 10), np.linspace(0.9, 1.0, 10)
    spoiled = np.append(a[:-1], 50.0)
    assert shift(spoiled, b, 0.05).estimate == pytest.approx(shift(a, b, 0.05).estimate, abs=0.02)


@pytest.mark.parametrize("method", [welch, shift])
def test_groups_too_small_bound_nothing(method) -> None:
    one, none = np.array([1.0]), np.empty(0)
    assert method(one, np.array([3.0, 4.0]), 0.05).high == math.inf
    assert math.isnan(method(one, none, 0.05).estimate)


def test_equal_values_leave_no_width() -> None:
    found = welch(np.full(4, 2.0), np.full(5, 0.5), 0.05)
    assert (found.low, found.estimate, found.high) == (1.5, 1.5, 1.5)
