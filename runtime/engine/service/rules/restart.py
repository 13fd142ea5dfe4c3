"""Decide whether an ended container is restarted, and after how long. Pure: no clock, no container."""

from __future__ import annotations

import msgspec

from runtime.docker_syntax import restart_policies
from runtime.engine.errors import BadParameterError, refusing
from runtime.engine.service.model.request import RestartPolicy

FIRST_WAIT_NS = 100_000_000
LONGEST_WAIT_NS = 60_000_000_000
STEADY_NS = 10_000_000_000
"""After a run of this length the waits begin anew."""


class Backoff(msgspec.Struct, frozen=True):
    """The wait before the next start, ns; 0 before the first."""

    wait_ns: int = 0

    def after(self, ran_ns: int) -> Backoff:
        """Return the wait after a run of `ran_ns`: 100 ms, doubled each time, up to a minute."""
        if ran_ns >= STEADY_NS or not self.wait_ns:
            return Backoff(FIRST_WAIT_NS)
        return Backoff(min(self.wait_ns * 2, LONGEST_WAIT_NS))


def check_policy(policy: RestartPolicy, *, auto_remove: bool) -> None:
    """Raise BadParameterError for an invalid policy, in Docker's words."""
    with refusing():
        restart_policies.check(policy.name, policy.maximum_retry_count)
    if auto_remove and policy.name not in ("", "no"):
        raise BadParameterError("can't create 'AutoRemove' container with restart policy")


def wants_restart(policy: RestartPolicy, *, exit_code: int, restarts: int, manually_stopped: bool) -> bool:
    """Say whether a container that has just ended is restarted. restarts: how often it was already."""
    if manually_stopped:
        return False
    if policy.name == "on-failure":
        limit = policy.maximum_retry_count
        return exit_code != 0 and (not limit or restarts < limit)
    return policy.name in ("always", "unless-stopped")


def wants_start(policy: RestartPolicy, *, was_started: bool, exit_code: int, manually_stopped: bool) -> bool:
    """Say whether a container that does not run is started when a daemon begins."""
    if not was_started:
        return False
    if policy.name == "unless-stopped":
        return not manually_stopped
    if policy.name == "on-failure":
        return exit_code != 0 and not manually_stopped
    return policy.name == "always"
