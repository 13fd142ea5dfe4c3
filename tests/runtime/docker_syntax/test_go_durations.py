"""Durations. Read by: cli/flag_values (--health-…), build/settings (HEALTHCHECK), docker_syntax/times.

Written by: service/health, cli/go_zero_values (Go's form), cli/times and docker_syntax/times (words).
"""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.docker_syntax import MalformedError, durations

SECOND = 10**9
HOUR = 3600 * SECOND


@pytest.mark.parametrize(
    ("text", "duration"),
    [
        ("0", 0),
        ("-0", 0),
        ("0s", 0),
        ("5s", 5 * SECOND),
        ("+5s", 5 * SECOND),
        ("-5s", -5 * SECOND),
        ("1478s", 1478 * SECOND),
        ("5.s", 5 * SECOND),
        (".5s", SECOND // 2),
        ("1.004s", 1_004_000_000),
        ("-.5s", -SECOND // 2),
        ("10ns", 10),
        ("11us", 11_000),
        ("12µs", 12_000),
        ("12μs", 12_000),
        ("13ms", 13_000_000),
        ("15m", 900 * SECOND),
        ("16h", 16 * HOUR),
        ("3h30m", 7 * HOUR // 2),
        ("10.5s4m", 250_500_000_000),
        ("1h2m3s4ms5us6ns", HOUR + 123_004_005_006),
        ("0.3333333333333333333h", 20 * 60 * SECOND - 1),
        ("9223372036854775807ns", (1 << 63) - 1),
    ],
)
def test_a_duration_is_numbers_with_units(text: str, duration: int):
    assert durations.parse(text) == duration


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 'invalid duration ""'),
        ("10", 'missing unit in duration "10"'),
        ("-", 'invalid duration "-"'),
        ("s", 'invalid duration "s"'),
        (".", 'invalid duration "."'),
        (".s", 'invalid duration ".s"'),
        ("1.2.3s", 'invalid duration "1.2.3s"'),
        ("3000000h", 'invalid duration "3000000h"'),
        ("5x", 'unknown unit "x" in duration "5x"'),
        ("5s ", 'unknown unit "s " in duration "5s "'),
        (" 5s", 'invalid duration " 5s"'),
        ("1h 5s", 'unknown unit "h " in duration "1h 5s"'),
        ("٣s", 'invalid duration "٣s"'),
    ],
)
def test_all_else_is_refused_in_gos_words(text: str, words: str):
    with pytest.raises(MalformedError) as caught:
        durations.parse(text)
    assert str(caught.value) == f"time: {words}"


@pytest.mark.parametrize(
    ("duration", "text"),
    [
        (0, "0s"),
        (1, "1ns"),
        (1_500, "1.5µs"),
        (50_000_000, "50ms"),
        (1_500_000, "1.5ms"),
        (1_500_000_000, "1.5s"),
        (30 * SECOND, "30s"),
        (90 * SECOND, "1m30s"),
        (HOUR, "1h0m0s"),
        (3_661_000_000_001, "1h1m1.000000001s"),
    ],
)
def test_durations_are_written_as_go_writes_them(duration: int, text: str):
    assert durations.text_of(duration) == text


@given(st.integers(1 - (1 << 63), (1 << 63) - 1))
def test_a_duration_is_the_same_after_its_text(duration: int):
    assert durations.parse(durations.text_of(duration)) == duration


@given(st.text("0123456789.+-hmsnuµ ", max_size=10))
def test_any_text_is_a_duration_or_refused(text: str):
    with contextlib.suppress(MalformedError):
        assert abs(durations.parse(text)) < 1 << 63


@pytest.mark.parametrize(
    ("duration", "words"),
    [
        (SECOND - 1, "Less than a second"),
        (SECOND, "1 second"),
        (59 * SECOND, "59 seconds"),
        (60 * SECOND, "About a minute"),
        (2 * 60 * SECOND, "2 minutes"),
        (59 * 60 * SECOND, "59 minutes"),
        (HOUR, "About an hour"),
        (89 * 60 * SECOND, "About an hour"),
        (90 * 60 * SECOND, "2 hours"),
        (47 * HOUR, "47 hours"),
        (48 * HOUR, "2 days"),
        (14 * 24 * HOUR, "2 weeks"),
        (60 * 24 * HOUR, "2 months"),
        (730 * 24 * HOUR, "2 years"),
        (3 * 365 * 24 * HOUR - 1, "2 years"),
    ],
)
def test_words_are_dockers(duration: int, words: str):
    assert durations.words(duration) == words
