"""Patterns of filepath.Match. Read by: service/build/sources (COPY, ADD), docker_syntax/ignore (its form)."""

from __future__ import annotations

import contextlib
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.docker_syntax import MalformedError, globs


@pytest.mark.parametrize(
    ("pattern", "fits", "others"),
    [
        ("", [""], ["a"]),
        ("a.b", ["a.b"], ["axb", "a.b/c"]),
        ("*", ["", "a", "a.b"], ["a/b"]),
        ("*/c", ["ab/c", "/c"], ["c", "a/b/c"]),
        ("a*c*e", ["ace", "abcde", "a*c*e"], ["acd", "a/c/e"]),
        ("a?c", ["abc", "aéc", "a\nc"], ["ac", "a/c", "abbc"]),
        ("[bd]x", ["bx", "dx"], ["cx", "[bd]x", "x"]),
        ("[b-d]x", ["bx", "cx", "dx"], ["ax", "-x"]),
        ("[^b-d]x", ["ax", "ex", "^x", "/x"], ["bx", "cx"]),
        ("[!b]x", ["!x", "bx"], ["ax"]),
        ("[a^]", ["a", "^"], ["b"]),
        ("[d-b]", [], ["b", "c", "d", "-", ""]),
        ("[^d-b]", ["c"], [""]),
        ("[[]", ["["], ["]"]),
        ("[&&~|]", ["&", "~", "|"], ["&&"]),
        ("[\\]\\-a]", ["]", "-", "a"], ["\\"]),
        ("\\*\\[\\a", ["*[a"], ["\\*[a"]),
        ("a]", ["a]"], ["a"]),
        ("é[à-ü]", ["éö"], ["éz"]),
    ],
)
def test_a_pattern_fits_a_whole_path(pattern: str, fits: list[str], others: list[str]):
    regex = re.compile(globs.expression(pattern))
    assert [one for one in fits if not regex.fullmatch(one)] == []
    assert [one for one in others if regex.fullmatch(one)] == []


@pytest.mark.parametrize(
    "pattern",
    ["[", "[^", "a[", "[a", "[a-", "[a-]", "[]", "[]a]", "[^]a]", "[-]", "[-a]", "[a-b-c]", "\\", "a\\",
     "[\\", "[\\]", "[a\\]"],
)  # fmt: skip
def test_one_that_is_cut_short_or_empty_is_refused(pattern: str):
    with pytest.raises(MalformedError) as caught:
        globs.expression(pattern)
    assert str(caught.value) == f"syntax error in pattern: {pattern}"


@pytest.mark.parametrize(
    ("text", "whether"),
    [("a", False), ("a*", True), ("?", True), ("[a]", True), ("\\*", False), ("\\\\*", True), ("a]", False)],
)
def test_only_letters_that_are_not_escaped_make_a_pattern(text: str, whether: bool):
    assert globs.is_pattern(text) is whether


@given(st.text("ab[]^-\\*?/é&~|", max_size=12), st.text("ab/[-^", max_size=6))
def test_any_text_is_a_pattern_or_refused(pattern: str, path: str):
    with contextlib.suppress(MalformedError):
        re.fullmatch(globs.expression(pattern), path)


@given(st.text(max_size=12))
def test_an_escaped_text_fits_itself_alone(text: str):
    escaped = "".join(f"\\{letter}" for letter in text)
    assert re.fullmatch(globs.expression(escaped), text)
    assert not re.fullmatch(globs.expression(escaped), text + "x")
