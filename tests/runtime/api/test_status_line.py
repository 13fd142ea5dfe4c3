from __future__ import annotations

import msgspec
import pytest

from runtime.api.views.summary import status_line
from runtime.docker_syntax.times import ns_of
from runtime.engine.service.model.record import Health, State

NOW = ns_of("2026-01-31T12:00:00Z")


@pytest.mark.parametrize(
    ("state", "line"),
    [
        (State(), "Created"),
        (State(status="running", started_at="2026-01-31T11:59:58Z"), "Up 2 seconds"),
        (State(status="paused", started_at="2026-01-31T11:00:00Z"), "Up About an hour (Paused)"),
        (State(status="exited", exit_code=137, finished_at="2026-01-31T11:59:00Z"),
         "Exited (137) About a minute ago"),
        (State(status="restarting", exit_code=1, finished_at="2026-01-31T11:59:55Z"),
         "Restarting (1) 5 seconds ago"),
        (State(status="dead"), "Dead"),
        (State(status="removing"), "Removal In Progress"),
    ],
)  # fmt: skip
def test_a_state_is_one_line(state: State, line: str):
    assert status_line(state, NOW) == line


@pytest.mark.parametrize(
    ("status", "remark"),
    [
        ("starting", " (health: starting)"),
        ("healthy", " (healthy)"),
        ("unhealthy", " (unhealthy)"),
        ("none", ""),
    ],
)
def test_health_follows_the_time(status: str, remark: str):
    state = State(status="running", started_at="2026-01-31T11:59:58Z")
    state = msgspec.structs.replace(state, health=Health(status=status))
    assert status_line(state, NOW) == "Up 2 seconds" + remark
