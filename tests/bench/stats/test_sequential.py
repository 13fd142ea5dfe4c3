import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as sps

from bench.stats import sequential
from bench.stats.sequential import level, spent

ALPHAS = st.sampled_from([0.05, 0.025, 0.01, 0.05 / 40])
DESIGNS = st.tuples(st.integers(2, 8), st.integers(0, 30)).map(lambda pair: (pair[0], sum(pair)))


def first_call_rates(levels: np.ndarray, first: int, runs: int, seed: int) -> np.ndarray:
    """Share of runs of normal sessions, mean on the margin, that have called by each look."""
    rng = np.random.default_rng(seed)
    count = np.arange(1, first + levels.size)
    x = rng.standard_normal((runs, count.size))
    total, squares = np.cumsum(x, axis=1), np.cumsum(x * x, axis=1)
    with np.errstate(all="ignore"):
        t = total / np.sqrt(count * (squares - total**2 / count) / (count - 1))
    calls = t[:, first - 1 :] > sps.t.isf(levels, count[first - 1 :] - 1)
    return np.asarray(np.maximum.accumulate(calls, axis=1).mean(axis=0))


def error_of(scores: list[float], each: int) -> float:
    """Exact chance that any of the looks, one after every `each` values, passes its normal score."""
    silent = sequential._NoCall(1.0, math.pi, np.ones(4))
    total = 0.0
    for n in range(each, each * len(scores) + 1):
        look, rest = divmod(n, each)
        never = 1e-30
        tail = never if rest else float(sps.norm.sf(scores[look - 1]))
        if not rest:
            # The level solved for a chance is the inverse of the chance of a level: bisect for it.
            low, high = 0.0, tail
            for _ in range(40):
                middle = (low + high) / 2
                reached = middle if look == 1 else sequential._tail(silent, n, middle)
                low, high = (middle, high) if reached < tail else (low, middle)
            total += low
        silent = sequential._walk_back(silent, n, tail)
    return total


@pytest.mark.parametrize(
    ("scores", "alpha"),
    [
        # Jennison & Turnbull (2000), tables 2.1 and 2.3, two-sided 0.05: Pocock 2.178 for 2 looks and 2.413
        # for 5; O'Brien & Fleming 2.040 · √(5 / k).
        ([2.178] * 2, 0.025),
        ([2.413] * 5, 0.025),
        ([2.040 * math.sqrt(5 / k) for k in range(1, 6)], 0.025),
    ],
)
def test_published_constants_of_many_values_a_look(monkeypatch, scores: list[float], alpha: float) -> None:
    monkeypatch.setattr(sequential, "POINTS", 400)  # between looks nothing narrows the angles to be covered
    # With 80 values between looks t is nearly normal; what is left of the difference is under 2.5 %.
    assert error_of(scores, each=80) == pytest.approx(alpha, rel=0.025)


@pytest.mark.parametrize(("alpha", "first", "last"), [(0.05, 4, 12), (0.05, 4, 24), (0.0125, 2, 9)])
def test_error_is_spent_as_planned_and_sums_to_alpha(alpha: float, first: int, last: int) -> None:
    levels = np.array([level(alpha, look, first, last, final=False) for look in range(first, last + 1)])
    rates = first_call_rates(levels, first, runs=200_000, seed=3)
    plan = np.array([spent(alpha, look, last) for look in range(first, last + 1)])
    assert rates == pytest.approx(plan, abs=4 * math.sqrt(alpha / 200_000))
    assert plan[-1] == alpha


def test_a_run_that_the_clock_ends_early_spends_the_rest() -> None:
    ended = 9
    levels = [level(0.05, look, 4, 24, final=look == ended) for look in range(4, ended + 1)]
    rates = first_call_rates(np.array(levels), 4, runs=200_000, seed=4)
    assert rates[-1] == pytest.approx(0.05, abs=0.002)


def test_levels_for_normal_scores_would_err_with_few_sessions() -> None:
    # The same spending, solved for normal scores (recursive integration, looks 4 … 12): read with t it errs.
    scores = [0.009623, 0.008597, 0.010254, 0.012392, 0.014827, 0.017511, 0.020428, 0.023569, 0.026932]
    assert first_call_rates(np.array(scores), 4, runs=200_000, seed=5)[-1] > 0.054


@given(ALPHAS, DESIGNS)
@settings(max_examples=40, deadline=None)
def test_a_level_never_passes_what_may_be_spent_and_a_last_look_gets_more(alpha, design) -> None:
    first, last = design
    for look in range(first, last + 1):
        going, ending = (level(alpha, look, first, last, final=final) for final in (False, True))
        assert 0 < going <= ending <= alpha * (1 + 1e-9)
        assert going >= spent(alpha, look, last) - (spent(alpha, look - 1, last) if look > first else 0.0)
    assert level(alpha, last, first, last, final=False) == level(alpha, last, first, last, final=True)


@given(DESIGNS)
@settings.get_profile("dear")
def test_levels_rise_with_alpha_and_fall_with_more_looks_to_come(design) -> None:
    first, last = design
    for look in {first, (first + last) // 2, last}:
        for final in (False, True):
            one = level(0.05, look, first, last, final=final)
            assert level(0.01, look, first, last, final=final) < one
    assert level(0.05, first, first, last + 5, final=False) < level(0.05, first, first, last, final=False)


def test_without_a_look_before_all_of_alpha_is_there_at_the_end() -> None:
    assert level(0.05, 3, 4, 24, final=True) == 0.05
    assert level(0.05, 4, 4, 24, final=True) == 0.05
    assert level(0.05, 6, 6, 6, final=False) == 0.05
    assert level(0.05, 3, 4, 24, final=False) == 0.0
    assert level(0.05, 30, 4, 24, final=True) == level(0.05, 24, 4, 24, final=False)


def test_tiny_levels_and_many_looks_are_solved_as_finely_as_others(monkeypatch) -> None:
    coarse = np.array(sequential.levels_of(0.05 / 40, 4, 60))
    sequential.levels_of.cache_clear()
    monkeypatch.setattr(sequential, "POINTS", 300)
    fine = np.array(sequential.levels_of(0.05 / 40, 4, 60))
    sequential.levels_of.cache_clear()
    assert coarse == pytest.approx(fine, rel=1e-4)
