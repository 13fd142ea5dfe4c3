"""Sizes. Read by: cli/flag_values, api/daemon/flags (nnd's), log_options (max-size, max-buffer-size)."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.docker_syntax import MalformedError, sizes


@pytest.mark.parametrize(
    ("text", "binary", "decimal"),
    [
        ("0", 0, 0),
        ("32", 32, 32),
        ("32b", 32, 32),
        ("32B", 32, 32),
        ("32 b", 32, 32),
        ("32k", 32 << 10, 32_000),
        ("32K", 32 << 10, 32_000),
        ("32kb", 32 << 10, 32_000),
        ("32 KiB", 32 << 10, 32_000),
        ("32Mb", 32 << 20, 32_000_000),
        ("1.5g", 3 << 29, 1_500_000_000),
        (".5m", 1 << 19, 500_000),
        ("5.m", 5 << 20, 5_000_000),
        ("2t", 2 << 40, 2 * 10**12),
        ("1P", 1 << 50, 10**15),
        ("0.1b", 0, 0),
        ("+7k", 7 << 10, 7_000),
        ("1e3", 1000, 1000),
        ("-0", 0, 0),
        ("32 ", 32, 32),
    ],
)
def test_a_size_is_a_number_and_a_unit(text: str, binary: int, decimal: int):
    assert sizes.parse(text) == binary
    assert sizes.parse(text, sizes.DECIMAL) == decimal


@pytest.mark.parametrize(
    "text",
    ["", "hello", "b", "k", ".", "-1", "-32k", " 32", " 32 ", "32 mb ", "32  k", "32m b", "32bm", "32bb",
     "32ki", "32kbi", "1q", "1.2.3", "32e", "nan", "inf", "1_0", "0x10", "8388608t", "1e400", "٣"],
)  # fmt: skip
def test_all_else_is_refused(text: str):
    with pytest.raises(MalformedError) as caught:
        sizes.parse(text)
    assert str(caught.value) == f"invalid size: '{text}'"


@given(st.integers(0, 10**6), st.sampled_from(["", "b", "k", "m", "g"]), st.sampled_from(["", "b", "ib"]))
def test_units_are_powers_of_1024(count: int, unit: str, more: str):
    more = "" if unit in ("", "b") else more
    assert sizes.parse(f"{count}{unit}{more}") == count << 10 * "bkmg".index(unit or "b")


@given(st.text(max_size=8))
def test_any_text_is_a_size_or_refused(text: str):
    with contextlib.suppress(MalformedError):
        assert 0 <= sizes.parse(text) < 1 << 63
