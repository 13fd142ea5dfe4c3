import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from bench.stats.location import hodges_lehmann, medians_by_group

FINITE = st.floats(-1e6, 1e6)


def test_hodges_lehmann_of_the_depression_scale_data() -> None:
    # Hollander & Wolfe (1973), example 3.1: Hamilton scale before and after therapy; the book gives -0.46.
    before = np.array([1.83, 0.50, 1.62, 2.48, 1.68, 1.88, 1.55, 3.06, 1.30])
    after = np.array([0.878, 0.647, 0.598, 2.05, 1.06, 1.29, 1.06, 3.14, 1.29])
    assert float(hodges_lehmann(after - before)) == pytest.approx(-0.46, abs=0.005)


def test_hodges_lehmann_works_along_the_last_axis() -> None:
    rows = np.array([[1.0, 3.0, 7.0, 8.0], [0.0, 0.0, 0.0, 100.0]])
    assert hodges_lehmann(rows).tolist() == [4.75, 0.0]


def test_hodges_lehmann_of_nothing_is_nan() -> None:
    assert np.isnan(hodges_lehmann(np.empty(0)))


@given(arrays(np.float64, st.integers(1, 40), elements=FINITE), st.randoms())
def test_medians_by_group_is_the_median_of_each_group_in_any_order(values: np.ndarray, rand) -> None:
    groups = np.array([rand.randrange(4) * 10 for _ in values], dtype=np.int64)
    ids, medians = medians_by_group(values, groups)
    assert ids.tolist() == sorted(set(groups.tolist()))
    for one, median in zip(ids, medians, strict=True):
        assert median == pytest.approx(np.median(values[groups == one]))
