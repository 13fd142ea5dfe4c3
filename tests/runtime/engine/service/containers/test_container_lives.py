from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from runtime.engine.errors import (
    BadParameterError,
    ConflictError,
    EngineError,
    NotFoundError,
    NotModifiedError,
    StartFailedError,
)
from runtime.engine.service.model.request import RestartPolicy
from runtime.engine.service.rules import restart
from tests.runtime.engine.service.containers.lifecycle_fakes import (
    create,
    open_service,
    settle,
    told,
)
from tests.waiting import in_loop


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restart, "FIRST_WAIT_NS", 1000)


def status(service, ref: str = "web") -> str:
    return service.containers.get(ref).state.status


# ---- starting and ending --------------------------------------------------------------------------------


@in_loop
async def test_a_whole_life_and_its_events(tmp_path: Path):
    service = await open_service(tmp_path)
    containers = service.containers
    made = await create(service, "web", volumes={"/data": {}})
    await containers.start("web")
    state = containers.get("web").state
    assert (state.status, state.pid) == ("running", 4242) and state.started_at
    assert service.streams.adopted == [made]
    assert service.volumes.mounted
    end = containers.subscribe_wait("web")
    service.spawner.end(made, 3)
    assert (await end).code == 3
    state = containers.get("web").state
    assert (state.status, state.exit_code, state.pid) == ("exited", 3, 0)
    assert made not in service.spawner.held
    assert service.volumes.mounted == [] and service.execs.over == [made]
    await containers.remove("web")
    assert told(service) == ["create", "start", "die", "destroy"]
    assert told(service, "volume") == ["create", "mount", "unmount"]
    (die,) = [event for event in service.events._kept if event.action == "die"]
    assert die.attributes["exitCode"] == "3" and die.attributes["execDuration"].isdigit()
    assert list((tmp_path / "containers").iterdir()) == []
    assert service.streams.discarded == [made] and service.execs.forgotten == [made]
    with pytest.raises(NotFoundError):
        containers.get("web")


@in_loop
async def test_start_of_what_runs_is_not_modified_and_of_what_is_paused_a_conflict(tmp_path: Path):
    service = await open_service(tmp_path)
    await create(service, "web")
    await service.containers.start("web")
    with pytest.raises(NotModifiedError):
        await service.containers.start("web")
    await service.containers.pause("web")
    with pytest.raises(ConflictError, match="cannot start a paused container, try unpause instead"):
        await service.containers.start("web")


@in_loop
async def test_a_container_runs_again_after_its_end(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    for code in (1, 2, 3):
        await service.containers.start("web")
        end = service.containers.subscribe_wait("web", "next-exit")
        service.spawner.end(made, code)
        assert (await end).code == code
    assert service.containers.get("web").state.restart_count == 0


@in_loop
async def test_an_end_before_the_start_was_answered_is_not_lost(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    plain = service.spawner.start

    async def start(request):
        answer = await plain(request)
        service.spawner.end(made, 7)
        await asyncio.sleep(0)
        return answer

    service.spawner.start = start
    end = service.containers.subscribe_wait("web", "next-exit")
    await service.containers.start("web")
    assert (await end).code == 7
    await settle(lambda: status(service) == "exited")


@pytest.mark.parametrize(
    ("program", "code", "cause"),
    [
        ("nope", 127, 'exec: "nope": executable file not found in $PATH: unknown'),
        ("/nope", 127, 'exec: "/nope": stat /nope: no such file or directory: unknown'),
        ("/etc/passwd", 126, 'exec: "/etc/passwd": permission denied: unknown'),
    ],
)
def test_a_program_that_cannot_be_executed_in_the_words_of_dockers_cli(tmp_path, program, code, cause):
    @in_loop
    async def fails() -> None:
        service = await open_service(tmp_path)
        service.spawner.error = StartFailedError("start: ENOENT", code)
        await create(service, "web", cmd=[program])
        with pytest.raises(StartFailedError) as caught:
            await service.containers.start("web")
        assert str(caught.value).endswith(cause)
        state = service.containers.get("web").state
        assert (state.status, state.exit_code) == ("created", code)
        assert state.error.endswith(cause)
        assert told(service) == ["create", "die"]
        service.spawner.error = None
        await service.containers.start("web")
        assert service.containers.get("web").state.error == ""

    fails()


@in_loop
async def test_waiting_for_an_end_is_not_answered_by_a_start_that_failed(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    ended = service.containers.subscribe_wait("web", "next-exit")
    service.spawner.error = EngineError("no cgroup")
    with pytest.raises(EngineError, match="no cgroup"):
        await service.containers.start("web")
    assert not ended.done()
    service.spawner.error = None
    await service.containers.start("web")
    service.spawner.end(made, 4)
    assert await ended == (4, "")


@in_loop
async def test_waiting_through_restarts_is_answered_when_one_fails(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(restart, "FIRST_WAIT_NS", 50_000_000)
    service = await open_service(tmp_path)
    made = await create(service, "web", restart_policy=RestartPolicy(name="always"))
    await service.containers.start("web")
    ended = service.containers.subscribe_wait("web")
    service.spawner.end(made, 4)
    assert (await ended).code == 4
    assert status(service) == "restarting"
    waiting = service.containers.subscribe_wait("web")
    service.spawner.error = EngineError("no cgroup")
    await settle(lambda: status(service) == "exited")
    assert await waiting == (128, "no cgroup")


@in_loop
async def test_what_goes_with_its_end_goes_when_it_cannot_start_too(tmp_path: Path):
    service = await open_service(tmp_path)
    service.spawner.error = EngineError("no cgroup")
    await create(service, "web", auto_remove=True)
    gone = service.containers.subscribe_wait("web", "removed")
    with pytest.raises(EngineError, match="no cgroup"):
        await service.containers.start("web")
    assert await gone == (128, "")  # the client of the start tells of it, and would tell it twice
    assert service.containers.list(all=True) == []


@in_loop
async def test_a_volume_that_a_start_has_to_make_again_is_still_anonymous(tmp_path: Path):
    """Where a daemon died between a creation and its volumes, or in a removal: else no prune finds it."""
    service = await open_service(tmp_path)
    await create(service, "web", volumes={"/data": {}})
    ((name, asked),) = service.volumes.made.items()
    service.volumes.made.clear()
    await service.containers.start("web")
    assert service.volumes.made[name]["labels"] == asked["labels"] != {}


@in_loop
async def test_auto_remove_removes_after_the_end_with_anonymous_volumes(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web", auto_remove=True, volumes={"/data": {}})
    gone = service.containers.subscribe_wait("web", "removed")
    await service.containers.start("web")
    service.spawner.end(made, 4)
    assert (await gone).code == 4
    assert service.volumes.made == {}
    assert told(service) == ["create", "start", "die", "destroy"]


# ---- stop, kill, restart --------------------------------------------------------------------------------


@in_loop
async def test_stop_signals_and_reports_in_dockers_order(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web", stop_signal="SIGINT")
    await service.containers.start("web")
    await service.containers.stop("web")
    assert ("signal", made, 2) in service.spawner.calls
    state = service.containers.get("web").state
    assert (state.exit_code, state.manually_stopped) == (130, True)
    assert told(service) == ["create", "start", "kill", "die", "stop"]
    with pytest.raises(NotModifiedError):
        await service.containers.stop("web")


@in_loop
async def test_stop_kills_what_does_not_listen(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    service.spawner.deaf.add(made)
    await service.containers.start("web")
    await service.containers.stop("web", timeout=0)
    assert [call[2] for call in service.spawner.calls if call[0] == "signal"] == [15, 9]
    assert service.containers.get("web").state.exit_code == 137


@in_loop
async def test_kill_gets_through_while_a_stop_waits(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    service.spawner.deaf.add(made)
    await service.containers.start("web")
    stopping = asyncio.create_task(service.containers.stop("web", timeout=-1))
    await settle(lambda: ("signal", made, 15) in service.spawner.calls)
    await service.containers.kill("web")
    await stopping
    assert status(service) == "exited"


@in_loop
async def test_kill_of_what_does_not_run_is_a_conflict_in_dockers_words(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    with pytest.raises(ConflictError, match=f"cannot kill container: web: container {made} is not running"):
        await service.containers.kill("web")
    await service.containers.start("web")
    with pytest.raises(BadParameterError, match="invalid signal: BOGUS"):
        await service.containers.kill("web", "BOGUS")
    service.spawner.deaf.add(made)
    await service.containers.kill("web", "HUP")
    assert status(service) == "running"


@in_loop
async def test_restart_keeps_what_would_go_with_its_end(tmp_path: Path):
    service = await open_service(tmp_path)
    await create(service, "web", auto_remove=True)
    await service.containers.start("web")
    await service.containers.restart("web")
    assert status(service) == "running"
    assert told(service) == ["create", "start", "kill", "die", "stop", "start", "restart"]
    await service.containers.stop("web")
    assert service.containers.list(all=True) == []


@in_loop
async def test_what_is_killed_before_it_can_be_let_go_on_is_removed_all_the_same(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    await service.containers.start("web")
    await service.containers.pause("web")

    async def unpause(id: str) -> None:  # noqa: A002
        raise ConflictError(f"container {id} is not running")

    service.spawner.unpause = unpause
    await service.containers.remove("web", force=True)
    assert service.containers.list(all=True) == []
    assert made not in service.spawner.held


@in_loop
async def test_stopping_what_is_paused_lets_it_go_on(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    await service.containers.start("web")
    await service.containers.pause("web")
    await service.containers.stop("web")
    assert ("unpause", made) in service.spawner.calls
    assert status(service) == "exited"


@in_loop
async def test_pause_and_unpause_say_what_is_wrong(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    with pytest.raises(ConflictError, match=f"container {made} is not running"):
        await service.containers.pause("web")
    await service.containers.start("web")
    with pytest.raises(ConflictError, match="is not paused"):
        await service.containers.unpause("web")
    await service.containers.pause("web")
    with pytest.raises(ConflictError, match="is already paused"):
        await service.containers.pause("web")
    assert [one.name for one in service.containers.list()] == ["web"]
    await service.containers.unpause("web")
    assert told(service) == ["create", "start", "pause", "unpause"]


# ---- restart policies -----------------------------------------------------------------------------------


@in_loop
async def test_always_starts_again_until_somebody_stops_it(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web", restart_policy=RestartPolicy(name="always"))
    await service.containers.start("web")
    for count in (1, 2):
        service.spawner.end(made, 0)
        await settle(lambda count=count: service.containers.get("web").state.restart_count == count)
        await settle(lambda: status(service) == "running")
    await service.containers.stop("web")
    assert status(service) == "exited"
    await service.containers.start("web")
    assert service.containers.get("web").state.restart_count == 0


@in_loop
async def test_on_failure_gives_up_after_its_count(tmp_path: Path):
    service = await open_service(tmp_path)
    policy = RestartPolicy(name="on-failure", maximum_retry_count=2)
    made = await create(service, "web", restart_policy=policy)
    await service.containers.start("web")
    for count in (1, 2):
        service.spawner.end(made, 1)
        await settle(lambda count=count: service.containers.get("web").state.restart_count == count)
        await settle(lambda: status(service) == "running")
    service.spawner.end(made, 1)
    await settle(lambda: status(service) == "exited")
    assert service.containers.get("web").state.restart_count == 2
    await service.containers.start("web")
    service.spawner.end(made, 0)
    await settle(lambda: status(service) == "exited")


@in_loop
async def test_stop_and_removal_end_the_wait_for_a_restart(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(restart, "FIRST_WAIT_NS", 3600 * 10**9)
    service = await open_service(tmp_path)
    made = await create(service, "web", restart_policy=RestartPolicy(name="always"))
    await service.containers.start("web")
    service.spawner.end(made, 1)
    await settle(lambda: status(service) == "restarting")
    with pytest.raises(ConflictError, match="is restarting, wait until"):
        await service.containers.pause("web")
    with pytest.raises(ConflictError, match="container is restarting: stop the container before removing"):
        await service.containers.remove("web")
    await service.containers.stop("web")
    assert status(service) == "exited"
    await service.containers.start("web")
    service.spawner.end(made, 1)
    await settle(lambda: status(service) == "restarting")
    await service.containers.remove("web", force=True)
    await service.containers.close(live_restore=False)
    assert service.containers.list(all=True) == []
