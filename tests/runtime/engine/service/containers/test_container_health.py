from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.engine.errors import EngineError
from runtime.engine.service.containers.execs import Probed
from runtime.engine.service.containers.health import judge, probe_argv, wait_ns
from runtime.engine.service.model.record import Health, HealthProbe
from runtime.engine.service.model.request import Config, Healthcheck
from tests.runtime.engine.service.containers.lifecycle_fakes import (
    create,
    open_service,
    settle,
    told,
)
from tests.waiting import in_loop

_MS = 1_000_000


def probe(code: int) -> HealthProbe:
    return HealthProbe(start="", end="", exit_code=code, output="")


@pytest.mark.parametrize(
    ("check", "shell", "argv"),
    [
        (None, None, ()),
        (Healthcheck(), None, ()),
        (Healthcheck(test=["NONE"]), None, ()),
        (Healthcheck(test=["true"]), None, ()),
        (Healthcheck(test=["CMD", "a", "b"]), None, ("a", "b")),
        (Healthcheck(test=["CMD-SHELL", "a | b"]), None, ("/bin/sh", "-c", "a | b")),
        (Healthcheck(test=["CMD-SHELL", "a"]), ["/bin/bash", "-ec"], ("/bin/bash", "-ec", "a")),
    ],
)
def test_what_probes(check, shell, argv):
    assert probe_argv(Config(healthcheck=check, shell=shell)) == argv


def test_so_many_failures_in_a_row_make_it_unhealthy_and_one_success_healthy():
    check = Healthcheck(retries=2)
    health = judge(Health(), probe(1), check, 0)
    assert (health.status, health.failing_streak) == ("starting", 1)
    health = judge(health, probe(1), check, 0)
    assert (health.status, health.failing_streak) == ("unhealthy", 2)
    health = judge(health, probe(0), check, 0)
    assert (health.status, health.failing_streak) == ("healthy", 0)
    assert judge(health, probe(3), check, 0).status == "healthy"


def test_failures_in_the_start_period_do_not_count_until_the_first_success():
    check = Healthcheck(retries=1, start_period=100)
    health = judge(Health(), probe(1), check, 99)
    assert (health.status, health.failing_streak) == ("starting", 0)
    assert judge(health, probe(1), check, 100).status == "unhealthy"
    healthy = judge(health, probe(0), check, 50)
    assert judge(healthy, probe(1), check, 60).status == "unhealthy"


def test_probes_come_more_often_in_the_start_period():
    check = Healthcheck(interval=30, start_period=100, start_interval=5)
    assert wait_ns(check, Health(), 99) == 5
    assert wait_ns(check, Health(), 100) == 30
    assert wait_ns(check, Health(status="healthy"), 5) == 30
    assert wait_ns(Healthcheck(), Health(), 0) == 30_000_000_000


@given(st.lists(st.integers(0, 2), max_size=40), st.integers(1, 5))
def test_the_streak_is_the_number_of_failures_at_the_end(codes, retries):
    health = Health()
    for code in codes:
        health = judge(health, probe(code), Healthcheck(retries=retries), 0)
    streak = next((n for n, code in enumerate(reversed(codes)) if code == 0), len(codes))
    assert health.failing_streak == streak
    assert len(health.log) == min(5, len(codes))
    if streak >= retries:
        assert health.status == "unhealthy"
    elif 0 in codes and streak == 0:
        assert health.status == "healthy"


@in_loop
async def test_a_running_container_is_probed_and_its_changes_are_reported(tmp_path: Path):
    service = await open_service(tmp_path)
    service.execs.results = [Probed(1, "no"), Probed(0, "yes"), Probed(1, "x"), Probed(-1, "slow")]
    check = Healthcheck(test=["CMD", "true"], interval=_MS, retries=2)
    made = await create(service, "web", healthcheck=check)
    assert service.containers.get("web").state.health is None
    await service.containers.start("web")
    health = service.containers.get("web").state.health
    assert health is not None and health.status == "starting"
    await settle(lambda: "health_status: unhealthy" in told(service))
    found = [action for action in told(service) if action.startswith("health")]
    assert found == ["health_status: healthy", "health_status: unhealthy"]
    health = service.containers.get("web").state.health
    assert health is not None and "Health check exceeded timeout (30s): slow" in health.log[-1].output
    assert [one.name for one in service.containers.list(filters={"health": ["unhealthy"]})] == ["web"]
    service.spawner.end(made)
    await settle(lambda: service.containers.get("web").state.status == "exited")
    probes = service.execs.probes
    await service.containers.close(live_restore=False)
    assert service.execs.probes == probes


@in_loop
async def test_a_probe_that_cannot_be_started_is_a_failure(tmp_path: Path):
    service = await open_service(tmp_path)

    async def fails(*args, **kwargs):
        raise EngineError("no such program")

    service.execs.probe = fails
    await create(service, "web", healthcheck=Healthcheck(test=["CMD", "x"], interval=_MS, retries=1))
    await service.containers.start("web")
    await settle(lambda: "health_status: unhealthy" in told(service))
    health = service.containers.get("web").state.health
    assert health is not None and health.log[0].output == "no such program"
    await service.containers.close(live_restore=True)
