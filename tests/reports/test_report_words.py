from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.answers import words
from bench.answers.metric_names import metric_words

NUMBERS = st.floats(1e-9, 1e15)


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.0011, "s", "1.10 ms"),
        (1_500_000.0, "ns", "1.50 ms"),
        (2.5, "s", "2.50 s"),
        (4096.0, "bytes", "4.00 KiB"),
        (0.0, "B", "0 bytes"),
        (9.56e8, "bit/s", "956 Mbit/s"),
        (9.7e9, "bytes/s", "9.70 GB/s"),
        (1180.4, "events/s", "1,180 events/s"),
        (0.62, "s/GiB", "0.620 s/GiB"),
        (None, "s", "–"),
        (float("nan"), "s", "–"),
    ],
)
def test_quantities_read_as_a_person_writes_them(value: float | None, unit: str, said: str) -> None:
    assert words.quantity(value, unit).replace(words.NBSP, " ") == said


@given(NUMBERS, st.sampled_from(["s", "ms", "us", "ns", "bytes", "bytes/s", "bit/s"]))
def test_scaling_keeps_the_value(value: float, unit: str) -> None:
    factor, shown = words.scale(unit, value)
    back, same = words.scale(unit, value)

    assert factor > 0
    assert (back, same) == (factor, shown)
    assert value * factor < 1000 * 1.024 or shown in {"s", "GiB", "GB/s", "Gbit/s"}


@given(NUMBERS.filter(lambda value: value >= 0.001))
def test_digits_are_within_half_a_per_cent_and_without_exponent(value: float) -> None:
    text = words.digits(value)

    assert "e" not in text
    assert float(text.replace(",", "")) == pytest.approx(value, rel=0.006)


@pytest.mark.parametrize(
    ("ratio", "said"),
    [(0.9987, "99.9 %"), (1.004, "100.4 %"), (0.00025, "0.0250 %"), (1e-7, "under 0.001 %"), (None, "–")],
)
def test_shares_are_of_the_host_and_never_faster_by(ratio: float | None, said: str) -> None:
    assert words.share(ratio).replace(words.NBSP, " ") == said


def test_a_limit_is_a_round_number() -> None:
    assert words.limit("1.00 s") == "1 s"
    assert words.limit("99.0 %") == "99 %"
    assert words.limit("1.05 s") == "1.05 s"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("network.cpu_per_gib.nat", "CPU time per GiB sent, NAT"),
        ("startup.first_byte.p99", "start to a server's first byte, 99 of 100"),
        ("cpu.integer", "integer arithmetic"),
        ("somebody.elses", "somebody.elses"),
    ],
)
def test_metrics_have_names_in_words(name: str, said: str) -> None:
    assert metric_words(name) == said


def test_dates_and_lists() -> None:
    assert words.day("2026-11-24T07:30:00+00:00") == "24 November 2026"
    assert words.day("yesterday") == "yesterday"
    assert words.minutes("2026-11-24T07:30:00", "2026-11-24T07:35:30") == "5.5 min"
    assert words.minutes("2026-11-24T07:30:00", "") == ""
    assert words.listed(["a", "b", "c"]) == "a, b and c"
