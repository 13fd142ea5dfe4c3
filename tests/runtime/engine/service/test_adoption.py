"""What the next daemon makes of what a killed one left: the disk and the spawner, in every combination."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from lifecycle_fakes import FakeSpawner, create, in_loop, open_service, reopened, settle, told

from runtime.engine.errors import UnavailableError
from runtime.engine.service import clock, members, restart, store
from runtime.engine.service.containers import Containers
from runtime.engine.service.request import RestartPolicy
from runtime.engine.spawner.protocol import MAIN, Exited, Running


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
    assert state.finished_at == clock.text_of(exited.finished_ns)
    assert after.streams.adopted == [made], "its last output must reach the log"
    assert ("release", made, MAIN) in after.spawner.calls
    assert told(after) == ["die"]


@in_loop
async def test_an_end_that_was_written_before_the_kill_is_not_told_again(tmp_path: Path):
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
async def test_half_made_and_half_removed_directories_are_removed(tmp_path: Path):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    containers = tmp_path / "containers"
    for name in ("5" * 64, "6" * 64, "7" * 64, f".gone-{made}-1"):
        (containers / name / "layer" / "u").mkdir(parents=True)
    (containers / ("6" * 64) / "record.json").touch()
    (containers / ("7" * 64) / "record.json").write_bytes(bytes(512))
    (containers / "file").touch()
    after = reopened(service)
    await after.containers.open()
    assert [path.name for path in containers.iterdir()] == [made]


@in_loop
async def test_what_has_a_damaged_record_is_told_and_left_alone(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    service = await open_service(tmp_path)
    whole, cut, strange = [await create(service, name) for name in ("whole", "cut", "strange")]
    containers = tmp_path / "containers"
    record = (containers / cut / "record.json").read_bytes()
    (containers / cut / "record.json").write_bytes(record[: len(record) // 2])
    (containers / strange / "record.json").write_bytes(record)
    (containers / whole / "state.json").write_text('{"state": ')
    after = reopened(service)
    await after.containers.open()
    assert [one.name for one in after.containers.list(all=True)] == ["whole"]
    assert {path.name for path in containers.iterdir()} == {whole, cut, strange}
    assert f"mend {containers / cut}/record.json" in caplog.text
    assert f"it is of container {cut}" in caplog.text
    assert f"state of container {whole} cannot be read" in caplog.text
    await create(after, "cut")  # its name is free


@in_loop
async def test_a_state_that_a_full_disk_has_no_room_for_is_kept_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    service = await open_service(tmp_path)
    made = await create(service, "web")
    monkeypatch.setattr(members, "_SAVE_AGAIN_S", 0)
    put, refused = store._put, []

    def full(target: Path, data: bytes, *, sync: bool) -> None:
        if len(refused) < 3:
            refused.append(target)
            raise OSError(errno.ENOSPC, "No space left on device")
        put(target, data, sync=sync)

    monkeypatch.setattr(store, "_put", full)
    await service.containers.start("web")
    path = tmp_path / "containers" / made / "state.json"
    await settle(path.exists)
    assert refused == [path] * 3
    after = reopened(service)
    await after.containers.open()
    assert after.containers.get("web").state.status == "running"


def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    target = tmp_path / "state.json"
    store._put(target, b"old", sync=False)

    def full(fd: int, data: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(store.os, "write", full)
    with pytest.raises(OSError, match="No space"):
        store._put(target, b"new", sync=False)
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]
    assert target.read_bytes() == b"old"


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
async def test_an_exit_that_is_told_late_does_not_end_the_next_run(tmp_path: Path):
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
async def test_records_survive_as_they_were(tmp_path: Path):
    service = await open_service(tmp_path)
    await create(service, "web", cmd=["echo", "ü"], labels={"a": "b"}, binds=["data:/data:ro"])
    await service.containers.rename("web", "new")
    before = service.containers.get("new")
    after = reopened(service)
    after.containers = Containers(after)
    await after.containers.open()
    assert after.containers.get("new") == before


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

    async def open_spawner(root: Path) -> FakeSpawner:
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

    async def open_spawner(root: Path) -> FakeSpawner:
        if full:
            raise UnavailableError("no space left on device")
        return next_one

    monkeypatch.setattr("runtime.engine.spawner.client.Spawner.open", open_spawner)
    for name, value in (("_REOPEN_S", (0.0, 0.001)), ("_RECOVERY_S", 0.0), ("_REOPEN_PATIENCE_S", 0.0)):
        monkeypatch.setattr(f"runtime.engine.service.service.{name}", value)
    service._lost()
    await settle(lambda: told(service)[-2:] == ["die", "die"] and len(told(service)) > 8)
    states = {one.name: one.state.status for one in service.containers.list(all=True)}
    assert states == {"plain": "exited", "stubborn": "restarting"}
    full = False
    await settle(lambda: stubborn in next_one.held)
    await settle(lambda: service.containers.get("stubborn").state.status == "running")
    next_one.end(stubborn, 3)
    await settle(lambda: service.containers.get("stubborn").state.restart_count > 1)
