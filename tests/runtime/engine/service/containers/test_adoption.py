"""What the next daemon makes of what a killed one left: the disk and the spawner, in every combination."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.docker_syntax.times import text_of
from runtime.engine.service.containers.containers import Containers
from runtime.engine.service.model.request import RestartPolicy
from runtime.engine.service.rules import restart
from runtime.engine.spawner.protocol import MAIN, Exited, Running
from tests.runtime.engine.service.containers.lifecycle_fakes import (
    create,
    open_service,
    reopened,
    settle,
    told,
)
from tests.waiting import in_loop


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restart, "FIRST_WAIT_NS", 1000)


def held(id_: str, **changes: object) -> Running:
    return Running(**({"id": id_, "exec_id": MAIN, "pid": 77, "tty": False, "stdin": False} | changes))


@in_loop
async def test_what_runs_goes_on(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web", binds=["data:/data"])
    await service.containers.start("web")
    before = service.containers.get("web").state
    after = reopened(service)
    after.volumes.mounted.clear()
    await after.containers.open()
    state = after.containers.get("web").state
    assert (state.status, state.started_at) == ("running", before.started_at)
    assert after.streams.adopted == [made]
    assert ("started", made) in after.networks.calls
    assert after.volumes.mounted == ["data"]
    await after.containers.stop("web")
    assert after.containers.get("web").state.exit_code == 143


@in_loop
async def test_what_is_paused_stays_paused(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    await service.containers.start("web")
    after = reopened(service)
    after.spawner.running = (held(made, paused=True),)
    await after.containers.open()
    assert after.containers.get("web").state.status == "paused"


@in_loop
async def test_what_ended_meanwhile_has_its_exit_code_and_its_output(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    await service.containers.start("web")
    after = reopened(service)
    exited = Exited(id=made, exec_id=MAIN, code=5, finished_ns=1_800_000_000_000_000_001)
    after.spawner.running = (held(made, exited=exited),)
    await after.containers.open()
    state = after.containers.get("web").state
    assert (state.status, state.exit_code) == ("exited", 5)
    assert state.finished_at == text_of(exited.finished_ns)
    assert after.streams.adopted == [made], "its last output must reach the log"
    assert ("release", made, MAIN) in after.spawner.calls
    assert told(after) == ["die"]


@in_loop
async def test_an_end_that_was_written_before_the_kill_is_not_reported_again(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    await service.containers.start("web")
    service.spawner.end(made, 5)
    await settle(lambda: service.containers.get("web").state.status == "exited")
    after = reopened(service)
    exited = Exited(id=made, exec_id=MAIN, code=5, finished_ns=after.spawner.clock)
    after.spawner.running = (held(made, exited=exited),)
    await after.containers.open()
    assert told(after) == []
    assert after.spawner.calls[-1] == ("release", made, MAIN)


@in_loop
async def test_what_was_lost_with_its_spawner_counts_as_killed(tmp_path: Path):
    service = await open_service(tmp_path)
    await create(service, "web")
    await service.containers.start("web")
    service.spawner.held.clear()
    after = reopened(service)
    await after.containers.open()
    state = after.containers.get("web").state
    assert (state.status, state.exit_code) == ("exited", 137)


@in_loop
async def test_a_start_that_was_never_answered_did_not_take_place(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    after = reopened(service)
    after.spawner.running = (held(made),)
    await after.containers.open()
    assert after.containers.get("web").state.status == "created"
    assert ("kill_all", made) in after.spawner.calls and ("release", made, MAIN) in after.spawner.calls
    await after.containers.start("web")


@in_loop
async def test_what_has_no_record_is_ended(tmp_path: Path):
    service = await open_service(tmp_path)
    service.spawner.running = (held("9" * 64),)
    after = reopened(service)
    after.spawner.running = (held("9" * 64),)
    await after.containers.open()
    assert ("kill_all", "9" * 64) in after.spawner.calls
    assert ("release", "9" * 64, MAIN) in after.spawner.calls


@in_loop
async def test_what_goes_with_its_end_and_does_not_run_is_removed_with_its_volumes(tmp_path: Path):
    service = await open_service(tmp_path)
    await create(service, "never", auto_remove=True, volumes={"/data": {}})
    await create(service, "lost", auto_remove=True)
    runs = await create(service, "runs", auto_remove=True)
    for name in ("lost", "runs"):
        await service.containers.start(name)
    after = reopened(service)
    after.spawner.running = (held(runs),)
    await after.containers.open()
    assert [one.name for one in after.containers.list(all=True)] == ["runs"]
    assert after.volumes.made == {}


@pytest.mark.parametrize(
    ("policy", "stopped_by_hand", "starts"),
    [
        ("no", False, False),
        ("always", False, True),
        ("always", True, True),
        ("unless-stopped", False, True),
        ("unless-stopped", True, False),
        ("on-failure", False, True),
        ("on-failure", True, False),
    ],
)
def test_policies_at_the_beginning_of_a_daemon(tmp_path: Path, policy, stopped_by_hand, starts):
    @in_loop
    async def begins() -> None:
        service = await open_service(tmp_path)
        await create(service, "web", restart_policy=RestartPolicy(name=policy))
        await create(service, "never", restart_policy=RestartPolicy(name=policy))
        await service.containers.start("web")
        if stopped_by_hand:
            await service.containers.stop("web")
        else:
            await service.containers.close(live_restore=False)
        after = reopened(service)
        await after.containers.open()
        assert after.containers.get("web").state.status == ("running" if starts else "exited")
        assert after.containers.get("never").state.status == "created"

    begins()


@in_loop
async def test_who_waited_for_a_restart_is_started_also_where_it_shares_a_network(
    tmp_path: Path, monkeypatch
):
    monkeypatch.setattr(restart, "FIRST_WAIT_NS", 3600 * 10**9)
    service = await open_service(tmp_path)
    always = RestartPolicy(name="always")
    donor = await create(service, "zz-donor", restart_policy=always)
    made = await create(service, "aa", restart_policy=always, network_mode="container:zz-donor")
    for name in ("zz-donor", "aa"):
        await service.containers.start(name)
    for one in (donor, made):
        service.spawner.end(one, 1)
        await settle(lambda one=one: service.containers.get(one).state.status == "restarting")
    await service.containers.close(live_restore=True)
    after = reopened(service)
    await after.containers.open()
    assert {one.state.status for one in after.containers.list(all=True)} == {"running"}


@in_loop
async def test_one_that_cannot_be_started_does_not_keep_the_daemon_down(tmp_path: Path):
    service = await open_service(tmp_path)
    await create(service, "web", restart_policy=RestartPolicy(name="always"))
    await service.containers.start("web")
    await service.containers.close(live_restore=False)
    after = reopened(service)
    after.spawner.error = RuntimeError("a bug")
    await after.containers.open()
    assert after.containers.get("web").state.error == "a bug"


@in_loop
async def test_execs_of_what_runs_are_taken_up_and_others_released(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    await service.containers.start("web")
    after = reopened(service)
    ended = Exited(id=made, exec_id="e2", code=0)
    after.spawner.running += (
        held(made, exec_id="e1"),
        held(made, exec_id="e2", exited=ended),
        held("9" * 64, exec_id="e3"),
    )
    await after.containers.open()
    assert [one.exec_id for one in after.execs.adopted] == ["e1"]
    assert ("release", made, "e2") in after.spawner.calls
    assert ("release", "9" * 64, "e3") in after.spawner.calls


@in_loop
async def test_an_exit_that_is_reported_late_does_not_end_the_next_run(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    await service.containers.start("web")
    service.spawner.end(made, 5)
    await settle(lambda: service.containers.get("web").state.status == "exited")
    late = Exited(id=made, exec_id=MAIN, code=5, finished_ns=service.spawner.clock)
    await service.containers.start("web")
    service.spawner.on_exit(late)
    await service.containers.pause("web")
    assert service.containers.get("web").state.status == "paused"
    assert made in service.spawner.held


@in_loop
async def test_records_survive_as_they_were(tmp_path: Path):
    service = await open_service(tmp_path)
    await create(service, "web", cmd=["echo", "ü"], labels={"a": "b"}, binds=["data:/data:ro"])
    await service.containers.rename("web", "new")
    before = service.containers.get("new")
    after = reopened(service)
    after.containers = Containers(after)
    await after.containers.open()
    assert after.containers.get("new") == before
