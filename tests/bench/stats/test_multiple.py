import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench.stats.multiple import holm

PS = arrays(np.float64, st.integers(1, 20), elements=st.floats(0, 1))


def test_holm_on_four_hypotheses() -> None:
    # The textbook example at alpha 0.05: hypotheses 1 and 4 are rejected, 2 and 3 are not.
    adjusted = holm(np.array([0.01, 0.04, 0.03, 0.005]))
    assert adjusted == pytest.approx([0.03, 0.06, 0.06, 0.02])


def test_a_missing_p_value_still_counts_as_a_test() -> None:
    assert holm(np.array([0.01, np.nan])) == pytest.approx([0.02, 1.0])


@given(PS)
def test_holm_lies_between_the_raw_value_and_bonferroni(p: np.ndarray) -> None:
    adjusted = holm(p)
    assert np.all(adjusted >= p)
    assert np.all(adjusted <= 1.0)
    assert adjusted.min() == pytest.approx(min(1.0, p.min() * p.size))


@given(PS)
def test_holm_keeps_the_order(p: np.ndarray) -> None:
    assert np.all(np.diff(holm(p)[np.argsort(p, kind="stable")]) >= 0)
