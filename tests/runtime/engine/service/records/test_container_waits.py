from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from runtime.engine.errors import BadParameterError, NotFoundError
from runtime.engine.service.records.waiters import Ended, Waiters, check_condition
from tests.runtime.engine.service.containers.lifecycle_fakes import create, open_service, settle
from tests.waiting import in_loop


@in_loop
async def test_each_condition_is_woken_by_its_own_thing():
    waiters = Waiters()
    exit_, stopped, removed = (waiters.add(c) for c in ("next-exit", "not-running", "removed"))
    waiters.exited(Ended(1))
    assert (exit_.done(), stopped.done(), removed.done()) == (True, False, False)
    waiters.stopped(Ended(1))
    assert (stopped.done(), removed.done()) == (True, False)
    late = waiters.add("next-exit")
    waiters.removed(Ended(2, "gone"))
    assert await removed == await late == (2, "gone")
    assert await exit_ == (1, "")


@in_loop
async def test_who_gave_up_is_not_woken():
    waiters = Waiters()
    future = waiters.add("next-exit")
    future.cancel()
    waiters.exited(Ended(0))
    await asyncio.sleep(0)
    assert future.cancelled()


def test_conditions_by_name():
    assert check_condition("") == "not-running"
    assert check_condition("removed") == "removed"
    with pytest.raises(BadParameterError, match='invalid condition: "bogus"'):
        check_condition("bogus")


@in_loop
async def test_waiting_for_what_does_not_run_is_over_at_once(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    assert await service.containers.wait("web") == (0, "")
    await service.containers.start("web")
    service.spawner.end(made, 3)
    assert (await service.containers.wait("web")).code == 3
    assert (await service.containers.wait("web")).code == 3
    with pytest.raises(NotFoundError):
        service.containers.subscribe_wait("nobody")


@in_loop
async def test_who_waits_before_the_start_misses_nothing(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web", auto_remove=True)
    conditions = ("next-exit", "removed")
    waits = [service.containers.subscribe_wait("web", condition) for condition in conditions]
    await service.containers.start("web")
    service.spawner.end(made, 9)
    assert [(await one).code for one in waits] == [9, 9]


@in_loop
async def test_removal_wakes_all(tmp_path: Path):
    service = await open_service(tmp_path)
    await create(service, "web")
    waits = [service.containers.subscribe_wait("web", c) for c in ("next-exit", "removed")]
    await service.containers.remove("web")
    await settle(lambda: all(one.done() for one in waits))
    assert [await one for one in waits] == [(0, ""), (0, "")]
