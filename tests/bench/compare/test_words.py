"""Numbers of a comparison as people read them."""

import pytest

from bench.compare import words


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (None, "any"),
        (0.9512, "95.12 %"),
        (1.0, "100 %"),
        (6.64, "6.64 times"),
        (0.0002354, "under 0.1 %"),
        (187000.0, "over 1,000 times"),
    ],
)
def test_a_share_is_per_cent_or_times_and_ends_where_it_says_nothing_more(share, said):
    assert words.percent(share) == said


@pytest.mark.parametrize(
    ("old", "new", "unit", "said"),
    [
        (9.596e8, 9.61e8, "bit/s", "960 → 961 Mbit/s"),
        (0.0001648, 0.00017, "s", "165 → 170 µs"),
        (99.8, 95.1, "events/s", "99.8 → 95.1 events/s"),
        (4096.0, 2.0**21, "B", "4.00 KiB → 2.00 MiB"),
        (None, 0.5, "s", "– → 500 ms"),
    ],
)
def test_both_sides_are_in_one_multiple_of_the_unit(old, new, unit, said):
    assert words.both(old, new, unit) == said
