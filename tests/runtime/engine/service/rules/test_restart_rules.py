from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.engine.errors import BadParameterError
from runtime.engine.service.model.request import RestartPolicy
from runtime.engine.service.rules.restart import (
    FIRST_WAIT_NS,
    LONGEST_WAIT_NS,
    STEADY_NS,
    Backoff,
    check_policy,
    wants_restart,
    wants_start,
)


def test_waits_double_up_to_a_minute_and_begin_anew_after_a_steady_run():
    waits, backoff = [], Backoff()
    for _ in range(12):
        backoff = backoff.after(0)
        waits.append(backoff.wait_ns)
    assert waits[:3] == [FIRST_WAIT_NS, 2 * FIRST_WAIT_NS, 4 * FIRST_WAIT_NS]
    assert waits[-1] == LONGEST_WAIT_NS
    assert backoff.after(STEADY_NS).wait_ns == FIRST_WAIT_NS


@given(st.lists(st.integers(0, 2 * STEADY_NS)))
def test_a_wait_is_never_shorter_than_the_first_nor_longer_than_the_longest(runs):
    backoff = Backoff()
    for ran_ns in runs:
        backoff = backoff.after(ran_ns)
        assert FIRST_WAIT_NS <= backoff.wait_ns <= LONGEST_WAIT_NS


@pytest.mark.parametrize(
    ("policy", "exit_code", "restarts", "by_hand", "expected"),
    [
        (RestartPolicy(), 1, 0, False, False),
        (RestartPolicy(name="no"), 1, 0, False, False),
        (RestartPolicy(name="always"), 0, 99, False, True),
        (RestartPolicy(name="always"), 0, 0, True, False),
        (RestartPolicy(name="unless-stopped"), 0, 0, False, True),
        (RestartPolicy(name="on-failure"), 0, 0, False, False),
        (RestartPolicy(name="on-failure"), 1, 99, False, True),
        (RestartPolicy(name="on-failure", maximum_retry_count=2), 1, 1, False, True),
        (RestartPolicy(name="on-failure", maximum_retry_count=2), 1, 2, False, False),
    ],
)
def test_who_is_started_again(policy, exit_code, restarts, by_hand, expected):
    wanted = wants_restart(policy, exit_code=exit_code, restarts=restarts, manually_stopped=by_hand)
    assert wanted is expected


def test_what_was_never_started_is_not_started_by_a_daemon():
    policy = RestartPolicy(name="always")
    assert not wants_start(policy, was_started=False, exit_code=0, manually_stopped=False)
    assert wants_start(policy, was_started=True, exit_code=0, manually_stopped=True)


@pytest.mark.parametrize(
    ("policy", "auto_remove"),
    [
        (RestartPolicy(name="bogus"), False),
        (RestartPolicy(name="always", maximum_retry_count=2), False),
        (RestartPolicy(name="on-failure", maximum_retry_count=-1), False),
        (RestartPolicy(name="always"), True),
    ],
)
def test_policies_that_make_no_sense_are_refused(policy, auto_remove):
    with pytest.raises(BadParameterError):
        check_policy(policy, auto_remove=auto_remove)
