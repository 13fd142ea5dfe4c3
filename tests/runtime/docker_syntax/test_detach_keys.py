"""Detach keys. Read by: cli/session (run, exec, attach), service/streams (attach), service/execs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.docker_syntax import MalformedError
from runtime.docker_syntax.detach_keys import KeyMatcher, parse


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("", b"\x10\x11"),
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("a", b"a"),
        ("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", b"\0\x1b\x1c\x1d\x1e\x1f"),
        ("DEL,x", b"\x7fx"),
    ],
)
def test_keys_are_written_as_docker_writes_them(text: str, keys: bytes):
    assert parse(text) == keys


@pytest.mark.parametrize("text", ["ctrl-1", "ctrl-A", "ab", "a,,b", "ctrl-", "del", "é"])
def test_other_keys_are_refused(text: str):
    with pytest.raises(MalformedError, match="Invalid detach keys"):
        parse(text)


@given(
    st.lists(st.binary(max_size=6).map(lambda data: bytes(byte % 3 + 97 for byte in data)), max_size=12),
    st.binary(min_size=1, max_size=4).map(lambda data: bytes(byte % 3 + 97 for byte in data)),
)
def test_keys_are_found_wherever_the_input_is_cut(pieces: list[bytes], keys: bytes):
    typed = b"".join(pieces)
    matcher, passed, found = KeyMatcher(keys), b"", False
    for piece in pieces:
        data, found = matcher.feed(piece)
        passed += data
        if found:
            break
        assert typed.startswith(passed)
    at = typed.find(keys)
    assert found == (at >= 0)
    assert passed + (b"" if found else matcher.flush()) == (typed[:at] if found else typed)


def test_what_cannot_be_the_keys_is_not_held_back():
    matcher = KeyMatcher(b"\x10\x11")
    assert matcher.feed(b"ls\x10") == (b"ls", False)
    assert matcher.feed(b"\r") == (b"\x10\r", False)
    assert matcher.feed(b"\x10\x10") == (b"\x10", False)
    assert matcher.feed(b"\x11rest") == (b"", True)
