"""Restart policies. Read by: cli/flag_values (run, create, update); checked by service/restart."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.docker_syntax import MalformedError, restart_policies


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("", ("", 0)),
        ("no", ("no", 0)),
        ("always", ("always", 0)),
        ("unless-stopped", ("unless-stopped", 0)),
        ("on-failure", ("on-failure", 0)),
        ("on-failure:3", ("on-failure", 3)),
        ("on-failure:", ("on-failure", 0)),
        ("on-failure:0", ("on-failure", 0)),
    ],
)
def test_a_policy_is_a_name_and_a_number(text: str, policy: tuple[str, int]):
    assert restart_policies.parse(text) == policy


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("bogus", "unknown policy 'bogus'"),
        ("Always", "unknown policy 'Always'"),
        ("always:3", "can only be used with 'on-failure'"),
        ("no:1", "can only be used with 'on-failure'"),
        (":3", "can only be used with 'on-failure'"),
        ("on-failure:-1", "maximum retry count cannot be negative"),
        ("on-failure:x", "maximum retry count must be an integer"),
        ("on-failure:1:2", "maximum retry count must be an integer"),
    ],
)
def test_all_else_is_refused(text: str, words: str):
    with pytest.raises(MalformedError, match=words):
        restart_policies.parse(text)


@given(st.text("no-failurewysd:0123", max_size=16))
def test_any_text_is_a_policy_or_refused(text: str):
    with contextlib.suppress(MalformedError):
        restart_policies.check(*restart_policies.parse(text))
