import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench.stats.cluster import t_interval

LOCATIONS = arrays(np.float64, st.integers(2, 30), elements=st.floats(-10, 10))


def test_interval_of_students_sleep_data() -> None:
    # Student (1908), extra hours of sleep, drug 2 less drug 1; R's t.test gives 0.7001142 to 2.4598858.
    hours = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])
    found = t_interval(hours, alpha=0.025)
    assert (found.estimate, found.low, found.high) == pytest.approx((1.58, 0.7001142, 2.4598858), abs=1e-7)


def test_one_session_bounds_nothing() -> None:
    found = t_interval(np.array([0.3]), alpha=0.05)
    assert (found.estimate, found.low, found.high) == (0.3, -math.inf, math.inf)


def test_no_session_has_no_numbers() -> None:
    assert math.isnan(t_interval(np.empty(0), alpha=0.05).estimate)


def test_equal_sessions_leave_no_width() -> None:
    found = t_interval(np.full(5, 0.25), alpha=0.05)
    assert found.low == found.estimate == found.high


@given(LOCATIONS)
def test_swapping_the_arms_mirrors_the_interval(locations: np.ndarray) -> None:
    one, other = t_interval(locations, 0.05), t_interval(-locations, 0.05)
    assert (one.low, one.high) == pytest.approx((-other.high, -other.low))


@given(LOCATIONS, st.floats(-5, 5))
def test_a_shift_moves_the_interval_and_keeps_its_width(locations: np.ndarray, shift: float) -> None:
    one, other = t_interval(locations, 0.05), t_interval(locations + shift, 0.05)
    assert other.low == pytest.approx(one.low + shift, abs=1e-9)
    assert other.high == pytest.approx(one.high + shift, abs=1e-9)


@given(LOCATIONS)
def test_a_smaller_alpha_never_narrows(locations: np.ndarray) -> None:
    assume(np.ptp(locations) > 1e-6)
    wide, narrow = t_interval(locations, 0.01), t_interval(locations, 0.05)
    assert wide.low < narrow.low < narrow.high < wide.high
