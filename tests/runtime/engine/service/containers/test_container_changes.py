from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from runtime.engine.errors import (
    BadParameterError,
    ConflictError,
    EngineError,
    NotFoundError,
)
from runtime.engine.service.model.request import EndpointSettings, RestartPolicy, UpdateRequest
from tests.runtime.engine.service.containers.lifecycle_fakes import (
    create,
    open_service,
    settle,
    told,
)
from tests.waiting import in_loop


def status(service, ref: str = "web") -> str:
    return service.containers.get(ref).state.status


@in_loop
async def test_removal_asks_for_force_in_dockers_words(tmp_path: Path):
    service = await open_service(tmp_path)
    await create(service, "web")
    await service.containers.start("web")
    with pytest.raises(ConflictError, match='cannot remove container "/web": container is running: stop'):
        await service.containers.remove("web")
    await service.containers.pause("web")
    with pytest.raises(ConflictError, match="container is paused and must be unpaused first"):
        await service.containers.remove("web")
    await service.containers.remove("web", force=True)
    assert told(service)[-2:] == ["die", "destroy"]


@pytest.mark.parametrize("force", [True, False])
@in_loop
async def test_a_removal_while_a_start_is_under_way_leaves_nothing_running(tmp_path: Path, force):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    start, begun, go_on = service.spawner.start, asyncio.Event(), asyncio.Event()

    async def slow(request):
        begun.set()
        await go_on.wait()
        return await start(request)

    service.spawner.start = slow
    starting = asyncio.create_task(service.containers.start("web"))
    await begun.wait()
    removing = asyncio.create_task(service.containers.remove("web", force=force))
    await asyncio.sleep(0)
    go_on.set()
    await starting
    if force:
        await removing
        assert service.spawner.held == {}
        assert service.containers.list(all=True) == []
    else:
        with pytest.raises(ConflictError, match="container is running: stop the container before"):
            await removing
        assert made in service.spawner.held
        assert status(service) == "running"


@in_loop
async def test_prune_leaves_what_is_started_just_then(tmp_path: Path):
    service = await open_service(tmp_path)
    for name in ("one", "two"):
        await create(service, name)
    remove = service.containers.remove

    async def start_first(ref):
        if not service.containers.running():
            await service.containers.start(ref)
        await remove(ref)

    service.containers.remove = start_first
    removed, _ = await service.containers.prune()
    assert len(removed) == len(service.containers.running()) == 1


@in_loop
async def test_two_removals_at_once_remove_once(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    service.spawner.deaf.add(made)
    await service.containers.start("web")
    results = await asyncio.gather(
        *(service.containers.remove("web", force=True) for _ in range(3)), return_exceptions=True
    )
    refused = [one for one in results if one is not None]
    assert len(refused) == 2
    for one in refused:
        assert isinstance(one, ConflictError)
        assert str(one) == f"removal of container {made} is already in progress"
    assert told(service).count("destroy") == 1


@in_loop
async def test_who_goes_away_does_not_break_off_what_was_begun(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    plain, gate = service.spawner.start, asyncio.Event()

    async def start(request):
        await gate.wait()
        return await plain(request)

    service.spawner.start = start
    asked = asyncio.create_task(service.containers.start("web"))
    await settle(lambda: service.networks.calls[-1:] == [("endpoints", made)])
    asked.cancel()
    gate.set()
    await settle(lambda: status(service) == "running")
    assert service.streams.adopted == [made]


@in_loop
async def test_rename_is_kept_and_reported(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    await create(service, "other")
    await service.containers.rename("web", "new")
    assert service.containers.get("new").id == made
    with pytest.raises(NotFoundError):
        service.containers.get("web")
    with pytest.raises(ConflictError):
        await service.containers.rename("new", "other")
    with pytest.raises(BadParameterError, match="same name as its current name"):
        await service.containers.rename("new", "new")
    (event,) = [event for event in service.events._kept if event.action == "rename"]
    assert (event.attributes["name"], event.attributes["oldName"]) == ("new", "/web")


@in_loop
async def test_update_reaches_the_running_container_and_the_record(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    await service.containers.start("web")
    policy = RestartPolicy(name="always")
    await service.containers.update("web", UpdateRequest(cpu_shares=512, restart_policy=policy))
    (call,) = [call for call in service.spawner.calls if call[0] == "update"]
    assert call[1] == made and call[2].cpu_weight == 50
    host = service.containers.get("web").host_config
    assert (host.cpu_shares, host.restart_policy) == (512, policy)
    assert host.binds is None and host.network_mode == "bridge"


@in_loop
async def test_prune_removes_what_does_not_run_and_fits(tmp_path: Path):
    service = await open_service(tmp_path)
    stays = await create(service, "web")
    await service.containers.start("web")
    goes = await create(service, "old", labels={"a": "b"})
    kept = await create(service, "kept")
    assert await service.containers.prune({"label": ["a=b"]}) == ([goes], 0)
    assert {one.id for one in service.containers.list(all=True)} == {stays, kept}
    with pytest.raises(BadParameterError, match="invalid filter 'bogus'"):
        await service.containers.prune({"bogus": ["x"]})


@in_loop
async def test_networks_of_a_container_are_replaced_and_kept(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    networks = {"mine": EndpointSettings(network_id="1" * 64)}
    assert (await service.table.set_networks(made, networks)).networks == networks
    assert b"mine" in (tmp_path / "containers" / made / "state.json").read_bytes()


@in_loop
async def test_closing_stops_all_and_starts_nothing_again(tmp_path: Path):
    service = await open_service(tmp_path)
    for number in range(5):
        await create(service, f"c{number}", restart_policy=RestartPolicy(name="unless-stopped"))
        await service.containers.start(f"c{number}")
    await service.containers.close(live_restore=False)
    states = [one.state for one in service.containers.list(all=True)]
    assert {state.status for state in states} == {"exited"}
    assert not any(state.manually_stopped for state in states), "a user's stop would keep them down"
    assert service.spawner.held == {}


@in_loop
async def test_containers_do_not_wait_for_each_other(tmp_path: Path):
    service = await open_service(tmp_path)
    slow = await create(service, "slow")
    await create(service, "quick")
    plain, gate = service.spawner.start, asyncio.Event()

    async def start(request):
        if request.id == slow:
            await gate.wait()
        return await plain(request)

    service.spawner.start = start
    waiting = asyncio.create_task(service.containers.start("slow"))
    await settle(lambda: ("endpoints", slow) in service.networks.calls)
    await service.containers.start("quick")
    assert not waiting.done()
    gate.set()
    await waiting


@in_loop
async def test_an_oom_kill_is_reported_and_kept(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    await service.containers.start("web")
    service.spawner.end(made, 137, oom_killed=True)
    await settle(lambda: status(service) == "exited")
    assert service.containers.get("web").state.oom_killed
    assert told(service)[-2:] == ["oom", "die"]


@in_loop
async def test_without_a_pid_namespace_what_is_left_is_killed_with_the_program(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web", pid_mode="host")
    await service.containers.start("web")
    service.spawner.end(made)
    await settle(lambda: status(service) == "exited")
    assert ("kill_all", made) in service.spawner.calls


@in_loop
async def test_files_are_of_whose_the_network_is_however_it_was_come_by(tmp_path: Path):
    service = await open_service(tmp_path)
    for name, mode in (("first", ""), ("second", "container:first"), ("third", "container:second")):
        made = await create(service, name, network_mode=mode)
        await service.containers.start(name)
    first = service.containers.get("first").id
    files = {Path(mount.source).parent.name for mount in service.spawner.held[made].config.mounts}
    assert files == {first}
    await create(service, "me", network_mode="container:me")
    with pytest.raises(EngineError, match="cannot join own network"):
        await service.containers.start("me")


@in_loop
async def test_a_partner_must_run_and_share(tmp_path: Path):
    service = await open_service(tmp_path)
    donor = await create(service, "donor")
    made = await create(service, "web", network_mode="container:donor")
    with pytest.raises(ConflictError, match=f"cannot join network of a non running container: {donor}"):
        await service.containers.start("web")
    await service.containers.start("donor")
    await service.containers.start("web")
    assert service.spawner.held[made].joined == {"network": donor}
    await create(service, "ipc", ipc_mode="container:donor")
    with pytest.raises(EngineError, match=r"failed to join IPC namespace: .*non-shareable IPC"):
        await service.containers.start("ipc")
    await create(service, "other", pid_mode="container:donor")
    await service.containers.stop("donor", 0)
    said = f"failed to join PID namespace: container {donor} is not running"
    with pytest.raises(EngineError, match=said):
        await service.containers.start("other")
    await service.containers.remove("donor")
    with pytest.raises(EngineError, match="failed to join PID namespace: No such container") as caught:
        await service.containers.start("other")
    assert type(caught.value) is EngineError  # docker's 500: nothing is wrong with the request to start
