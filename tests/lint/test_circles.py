"""The check of import circles finds one that leads over several files."""

from __future__ import annotations

from tests.lint.circles import first_circle


def test_a_circle_over_three_files_is_found() -> None:
    circle = first_circle({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()})
    assert circle[0] == circle[-1]
    assert set(circle) == {"a", "b", "c"}


def test_two_ways_to_one_file_are_no_circle() -> None:
    assert first_circle({"a": {"b", "c"}, "b": {"d"}, "c": {"d"}, "d": set()}) == []
