"""The statistics of a change: against scipy, against the suite's own Welch, and where a t would be fooled."""

from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats as sps

from bench.compare.change import change, difference, p_values
from bench.stats.unpaired import welch

TOLERANCE = 0.01
RNG = np.random.default_rng(7)
OLD, NEW = 0.01 * RNG.standard_normal(8), 0.03 * RNG.standard_normal(8) - 0.02


def test_with_as_many_sessions_it_is_the_welch_test_of_scipy():
    found = change(OLD, NEW, TOLERANCE, 0.05)
    for edge, side, p in (
        (-TOLERANCE, "less", found.p_worse),
        (-TOLERANCE, "greater", found.p_not_worse),
        (TOLERANCE, "greater", found.p_better),
    ):
        expected = sps.ttest_ind(NEW, OLD + edge, equal_var=False, alternative=side).pvalue
        assert p == pytest.approx(expected, rel=1e-9)


def test_with_as_many_sessions_the_bounds_are_the_suites_own():
    found, own = change(OLD, NEW, TOLERANCE, 0.05), welch(NEW, OLD, 0.05)
    assert (found.estimate, found.low, found.high) == pytest.approx((own.estimate, own.low, own.high))


def test_four_sessions_beside_sixteen_have_no_more_freedom_than_twice_three():
    few, many = 1e-4 * RNG.standard_normal(4), 0.01 * RNG.standard_normal(16)
    free = sps.ttest_ind(few, many, equal_var=False).df
    found = change(many, few, TOLERANCE, 0.05)
    own = welch(few, many, 0.05)
    assert free > 6
    assert found.high - found.low == pytest.approx(
        (own.high - own.low) * sps.t.ppf(0.95, 6) / sps.t.ppf(0.95, free)
    )


def test_runs_that_looked_are_trusted_with_less():
    planned, looked = (change(OLD, OLD[::-1] + 0.002, TOLERANCE, 0.05, looked=one) for one in (False, True))
    assert looked.high - looked.low > planned.high - planned.low
    assert looked.p_not_worse > planned.p_not_worse


@pytest.mark.parametrize(
    ("shift", "expected"),
    [
        (0.0, (1.0, "floor", 1.0)),
        (-0.01, (1.0, "floor", 1.0)),
        (-0.02, ("floor", 1.0, 1.0)),
        (0.02, (1.0, "floor", "floor")),
    ],
)
def test_where_nothing_varies_a_permutation_test_is_all_there_is(shift, expected):
    old = np.full(4, 0.3)
    found = change(old, old + shift, TOLERANCE + 1e-15, 0.05)
    floor = 1 / comb(8, 4)
    assert (found.p_worse, found.p_not_worse, found.p_better) == tuple(
        floor if one == "floor" else one for one in expected
    )
    assert found.low == found.high == found.estimate


def test_counts_that_nearly_agree_are_not_beyond_a_permutation_test_either():
    old = np.array([0.0, 0.0, 0.0, 1e-6])
    found = change(old, old - 0.5, TOLERANCE, 0.05, tied=True)
    assert found.p_worse == 1 / comb(8, 4)
    assert change(old, old - 0.5, TOLERANCE, 0.05).p_worse < 1e-6


SESSIONS = hnp.arrays(np.float64, st.integers(4, 12), elements=st.floats(-0.25, 0.25, width=32))


@given(SESSIONS, SESSIONS)
def test_bounds_and_p_values_say_the_same(old, new):
    found = change(old, new, TOLERANCE, 0.05)
    assert found.low <= found.estimate <= found.high
    if found.high > found.low:
        assert (found.p_worse < 0.05) == (found.high < -TOLERANCE)
        assert (found.p_not_worse < 0.05) == (found.low > -TOLERANCE)
        assert (found.p_better < 0.05) == (found.low > TOLERANCE)


@given(SESSIONS, SESSIONS)
def test_better_seen_from_the_other_side_is_worse(old, new):
    there, back = change(old, new, TOLERANCE, 0.05), change(new, old, TOLERANCE, 0.05)
    assert there.p_better == pytest.approx(back.p_worse, abs=1e-9)
    assert there.estimate == pytest.approx(-back.estimate, abs=1e-15)


def test_many_at_once_are_what_each_is_alone():
    old, new = RNG.standard_normal((3, 8)), RNG.standard_normal((3, 5))
    moments = [(x.mean(axis=1), x.std(axis=1, ddof=1), np.full(3, float(x.shape[1]))) for x in (old, new)]
    found = p_values(*moments, -TOLERANCE, "less")
    alone = [change(a, b, TOLERANCE, 0.05).p_worse for a, b in zip(old, new, strict=True)]
    assert found == pytest.approx(alone)
    assert difference(*moments)[2].max() <= 2 * (5 - 1)
