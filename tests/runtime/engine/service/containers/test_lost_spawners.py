"""What becomes of containers whose spawner is gone while their daemon lives."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.engine.errors import UnavailableError
from runtime.engine.service.model.request import RestartPolicy
from runtime.engine.service.rules import restart
from tests.runtime.engine.service.containers.lifecycle_fakes import (
    FakeSpawner,
    create,
    open_service,
    settle,
    told,
)
from tests.waiting import in_loop


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restart, "FIRST_WAIT_NS", 1000)


@in_loop
async def test_a_lost_spawner_ends_all_and_policies_start_again(tmp_path: Path):
    service = await open_service(tmp_path)
    await create(service, "web", restart_policy=RestartPolicy(name="always"))
    await create(service, "plain")
    for name in ("web", "plain"):
        await service.containers.start(name)
    service.spawner.held.clear()
    await service.containers.lost(service.containers.running())
    assert service.containers.get("plain").state.exit_code == 137
    await settle(lambda: service.containers.get("web").state.status == "running")


@in_loop
async def test_what_started_on_the_next_spawner_is_not_lost_with_the_last_one(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    await service.containers.start("web")
    before = service.containers.running()
    service.spawner.end(made)
    await settle(lambda: service.containers.get("web").state.status == "exited")
    await service.containers.start("web")
    await service.containers.lost(before)
    assert service.containers.get("web").state.status == "running"


@in_loop
async def test_a_start_on_which_the_spawner_dies_is_done_by_the_next_one(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    dead = service.spawner
    dead.error = UnavailableError("the spawner is gone")

    async def reopened(spawner: object) -> bool:
        service.spawner = FakeSpawner()
        return spawner is dead

    service.reopened = reopened
    await service.containers.start("web")
    assert made in service.spawner.held
    assert service.networks.calls == [
        ("endpoints", made),
        ("release", made),
        ("endpoints", made),
        ("started", made),
    ]


@in_loop
async def test_another_spawner_is_tried_until_there_is_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    service = await open_service(tmp_path)
    made = await create(service, "web", restart_policy=RestartPolicy(name="always"))
    await service.containers.start("web")
    dead, next_one, tries = service.spawner, FakeSpawner(), []

    async def open_spawner(root: Path, **_: object) -> FakeSpawner:
        tries.append(root)
        if len(tries) < 4:
            raise UnavailableError("no space left on device")
        return next_one

    monkeypatch.setattr("runtime.engine.spawner.client.Spawner.open", open_spawner)
    monkeypatch.setattr("runtime.engine.service.service._REOPEN_S", (0.0, 0.0))
    service.root = tmp_path
    service._lost()
    assert await service.reopened(dead)
    await settle(lambda: made in next_one.held)
    assert tries == [tmp_path] * 4
    assert service.containers.get("web").state.status == "running"


@in_loop
async def test_what_was_lost_has_ended_though_no_other_spawner_can_be_had(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    service = await open_service(tmp_path)
    await create(service, "plain")
    stubborn = await create(service, "stubborn", restart_policy=RestartPolicy(name="always"))
    for name in ("plain", "stubborn"):
        await service.containers.start(name)
    dead, next_one, full = service.spawner, FakeSpawner(), True
    dead.error = UnavailableError("the spawner is gone")

    async def open_spawner(root: Path, **_: object) -> FakeSpawner:
        if full:
            raise UnavailableError("no space left on device")
        return next_one

    monkeypatch.setattr("runtime.engine.spawner.client.Spawner.open", open_spawner)
    monkeypatch.setattr("runtime.engine.service.service._REOPEN_S", (0.0, 0.001))
    monkeypatch.setattr("runtime.engine.service.service._RECOVERY_S", 0.0)
    monkeypatch.setattr("runtime.engine.service.core._REOPEN_PATIENCE_S", 0.0)
    service._lost()
    await settle(lambda: told(service)[-2:] == ["die", "die"] and len(told(service)) > 8)
    states = {one.name: one.state.status for one in service.containers.list(all=True)}
    assert states == {"plain": "exited", "stubborn": "restarting"}
    full = False
    await settle(lambda: stubborn in next_one.held)
    await settle(lambda: service.containers.get("stubborn").state.status == "running")
    next_one.end(stubborn, 3)
    await settle(lambda: service.containers.get("stubborn").state.restart_count > 1)
