"""Which bytes of a file are written, and which become holes."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from runtime.image.layers.tar_entries import _HOLE, _filled

RUNS = st.lists(
    st.tuples(
        st.booleans(), st.sampled_from([1, 100, 4096, _HOLE - 1, _HOLE, _HOLE + 1, 3 * _HOLE, 200_000])
    ),
    max_size=6,
)


@given(RUNS, st.integers(0, _HOLE - 1))
def test_all_but_whole_steps_of_zeros_is_written(runs: list[tuple[bool, int]], offset: int) -> None:
    data = b"".join((b"x" if filled else b"\0") * size for filled, size in runs)
    found = list(_filled(memoryview(data), -offset % _HOLE))
    assert found == sorted(found)
    written = bytearray(len(data))
    for start, stop in found:
        assert start < stop <= len(data)
        written[start:stop] = data[start:stop]
    assert written == data
    for before, after in itertools.pairwise(found):
        assert before[1] < after[0]
    edges = {0, len(data), *range(-offset % _HOLE, len(data), _HOLE)}
    assert {edge for run in found for edge in run} <= edges
    for start, stop in itertools.pairwise(sorted(edges)):
        inside = any(run[0] <= start and stop <= run[1] for run in found)
        assert inside == any(data[start:stop])
