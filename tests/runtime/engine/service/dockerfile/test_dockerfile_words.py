"""Quotes, escapes and variables in a Dockerfile's words."""

from __future__ import annotations

import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.engine.service.dockerfile.lexer import DockerfileError, expand, expand_words, split_words

VALUES = {"A": "1", "NAME": "x y", "EMPTY": "", "_u1": "ok"}


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("$A", "1"),
        ("${A}b", "1b"),
        ("$Ab", ""),
        ("a$", "a$"),
        ("$$A", "$1"),
        ("$_u1-", "ok-"),
        ("\\$A", "$A"),
        ("'$A'", "$A"),
        ('"$A"', "1"),
        ('"\\$A"', "$A"),
        ('"a\\b"', "a\\b"),
        ("a\\ b", "a b"),
        ("'a\"b'", 'a"b'),
        ('"it\'s"', "it's"),
        ("${X:-y}", "y"),
        ("${EMPTY:-y}", "y"),
        ("${EMPTY-y}", ""),
        ("${A:-y}", "1"),
        ("${A:+y}", "y"),
        ("${EMPTY:+y}", ""),
        ("${EMPTY+y}", "y"),
        ("${X+y}", ""),
        ("${X:-${A}}", "1"),
        ("${X:-$A$A}", "11"),
        ("${X:-'a b'}", "a b"),
        ("${A:?gone}", "1"),
        ("a/${A}/$NAME", "a/1/x y"),
    ],
)
def test_a_word_is_expanded_as_docker_does(word: str, value: str) -> None:
    assert expand(word, VALUES) == value


@pytest.mark.parametrize(
    ("word", "said"),
    [("'a", "single-quote"), ('"a', "double-quote"), ("${A", "missing"), ("${A:", "modifier"),
     ("${X:?gone}", "gone"),
     ("${A:=1}", "modifier"), ("${-}", "variable name"), ("${X:-y", "missing")],
)  # fmt: skip
def test_what_is_not_closed_is_an_error(word: str, said: str) -> None:
    with pytest.raises(DockerfileError, match=said):
        expand(word, VALUES)


def test_the_other_escape() -> None:
    assert expand("`$A C:\\x", VALUES, "`") == "$A C:\\x"


def test_what_a_variable_brings_is_split_where_words_are_wanted() -> None:
    assert expand_words("$NAME", VALUES) == ["x", "y"]
    assert expand_words('"$NAME"', VALUES) == ["x y"]
    assert expand_words("a${NAME}b", VALUES) == ["ax", "yb"]
    assert expand_words("$EMPTY", VALUES) == []
    assert expand_words('""', VALUES) == [""]


PLAIN = st.text(st.sampled_from("abc \t$'\"\\{}=:-"), max_size=12)


@given(text=PLAIN)
def test_a_text_in_single_quotes_is_itself(text: str) -> None:
    plain = text.replace("'", "")
    assert expand(f"'{plain}'", VALUES) == plain


@given(text=PLAIN)
def test_an_escaped_text_is_itself(text: str) -> None:
    escaped = "".join(f"\\{char}" for char in text)
    assert expand(escaped, VALUES) == text


@given(text=PLAIN)
def test_any_text_is_a_word_or_an_error_of_ours(text: str) -> None:
    for lexer in (expand, expand_words):
        try:
            lexer(text, VALUES)
        except DockerfileError as error:
            assert str(error)


@given(
    words=st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=8), max_size=5)
)
def test_words_quoted_for_a_shell_come_back(words: list[str]) -> None:
    found = split_words(" ".join(shlex.quote(word) for word in words))
    assert [expand(word, {}) for word in found] == words


@given(text=PLAIN)
def test_splitting_loses_nothing_but_space(text: str) -> None:
    kept = "".join(split_words(text)).replace(" ", "").replace("\t", "")
    bare = text.replace(" ", "").replace("\t", "")
    assert bare.startswith(kept)
    assert bare[len(kept) :] in ("", "\\")
