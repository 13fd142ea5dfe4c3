"""Moments. Read by: cli/times (--since, --until, tables), api/routes/stdio and events, the filters `until`.

Written by: service/clock (records), logreader, stats, archive.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.docker_syntax import MalformedError, times

SECOND = 10**9


@pytest.fixture(params=["UTC", "Asia/Kolkata"])
def ahead_s(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """How far our zone is ahead of UTC."""
    monkeypatch.setenv("TZ", {"UTC": "UTC", "Asia/Kolkata": "IST-5:30"}[request.param])
    time.tzset()
    yield {"UTC": 0, "Asia/Kolkata": 19800}[request.param]
    monkeypatch.undo()
    time.tzset()


@given(st.integers(0, 4 * 10**18))
def test_a_time_is_the_same_after_its_text(time_ns: int):
    assert times.ns_of(times.text_of(time_ns)) == time_ns


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1970-01-01T00:00:01Z", SECOND),
        ("1970-01-01t00:00:01z", SECOND),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T01:00:00+0100", 0),
        ("1970-01-01T00:00:00.5Z", SECOND // 2),
        ("1970-01-01T00:00:00.123456789123Z", 123456789),
        ("1969-12-31T23:59:59Z", -SECOND),
        ("0001-01-01T00:00:00Z", -62135596800 * SECOND),
    ],
)
def test_a_time_with_a_zone_is_the_same_everywhere(ahead_s: int, text: str, wanted: int):
    assert times.ns_of(text) == wanted


@pytest.mark.parametrize(
    ("text", "utc_s"),
    [
        ("1970-01-02", 86400),
        ("1970-01-02T03", 97200),
        ("1970-01-02T03:04", 97440),
        ("1970-01-02T03:04:05", 97445),
        ("1970-01-02 03:04:05", 97445),
    ],
)
def test_a_time_without_a_zone_is_ours(ahead_s: int, text: str, utc_s: int):
    assert times.ns_of(text) == (utc_s - ahead_s) * SECOND


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("1700000000", 1_700_000_000 * SECOND),
        ("1700000000.5", 1_700_000_000_500_000_000),
        ("1700000000.1234567899", 1_700_000_000_123_456_789),
        ("0", 0),
        ("-5", -5 * SECOND),
        ("1970-01-01T00:00:01Z", SECOND),
        ("10s", -9 * SECOND),
        ("-10s", 11 * SECOND),
        ("1m1.5s", SECOND - 61_500_000_000),
    ],
)
def test_clients_send_seconds_durations_and_times(text: str, wanted: int):
    assert times.moment_ns(text, now_ns=SECOND) == wanted


@pytest.mark.parametrize(
    "text", ["", "soon", "10 s", "2026-13-01", "2026-01-31T25:00", "1e9", "٣", "2026-1-1"]
)
def test_all_else_is_refused(text: str):
    with pytest.raises(MalformedError):
        times.moment_ns(text)


@given(st.text("0123456789-:TZ.+hms ", max_size=25))
def test_any_text_is_a_moment_or_refused(text: str):
    with contextlib.suppress(MalformedError):
        times.moment_ns(text)


def test_how_long_ago_is_worded():
    assert times.since("1970-01-01T00:00:00Z", 2 * 3600 * SECOND) == "2 hours"
    assert times.since("1970-01-01T00:00:09Z", SECOND) == "Less than a second"
