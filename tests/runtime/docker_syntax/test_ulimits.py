"""Ulimits. Read by: cli/flag_values (run, build), api/daemon/flags; checked by validate, settings."""

from __future__ import annotations

import contextlib
import resource

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.docker_syntax import MalformedError, ulimits


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("nofile=1024", ("nofile", 1024, 1024)),
        ("nofile=1024:2048", ("nofile", 1024, 2048)),
        ("core=0", ("core", 0, 0)),
        ("memlock=-1:-1", ("memlock", -1, -1)),
        ("memlock=5:-1", ("memlock", 5, -1)),
        ("cpu=+3", ("cpu", 3, 3)),
    ],
)
def test_a_limit_has_a_soft_and_a_hard_side(text: str, limit: tuple[str, int, int]):
    assert ulimits.parse(text) == limit


SOFT = "ulimit soft limit must be less than or equal to hard limit"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nofile", "invalid ulimit argument: nofile"),
        ("", "invalid ulimit argument: "),
        ("bogus=1", "invalid ulimit type: bogus"),
        ("NOFILE=1", "invalid ulimit type: NOFILE"),
        ("nofile=", 'strconv.ParseInt: parsing "": invalid syntax'),
        ("nofile=1:", 'strconv.ParseInt: parsing "": invalid syntax'),
        ("nofile=1:2:3", 'strconv.ParseInt: parsing "2:3": invalid syntax'),
        ("nofile=1k", 'strconv.ParseInt: parsing "1k": invalid syntax'),
        ("nofile=5:2", f"{SOFT}: soft: 5, hard: 2"),
        ("nofile=-1:2", f"{SOFT}: soft: -1, hard: 2"),
        ("nofile=-5", "invalid ulimit: nofile=-5:-5; -1 is no limit"),
    ],
)
def test_all_else_is_refused(text: str, words: str):
    with pytest.raises(MalformedError) as caught:
        ulimits.parse(text)
    assert str(caught.value) == words


def test_every_name_is_one_of_the_kernel():
    known = {name for name in dir(resource) if name.startswith("RLIMIT_")} | {"RLIMIT_LOCKS"}
    assert {f"RLIMIT_{name.upper()}" for name in ulimits.NAMES} <= known


@given(st.from_regex("[a-z]{0,6}=?[0-9:+-]{0,9}", fullmatch=True))
def test_any_text_is_a_limit_or_refused(text: str):
    with contextlib.suppress(MalformedError):
        ulimits.check(*ulimits.parse(text))
