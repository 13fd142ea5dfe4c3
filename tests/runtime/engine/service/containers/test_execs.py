"""Execs with real pipes and terminals; the spawner and the programs are the test's."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.engine.errors import BadParameterError, ConflictError, NotFoundError, StartFailedError
from runtime.engine.service.containers.execs import ExecRequest, Execs, ExecStartRequest
from runtime.engine.spawner.protocol import Exited, Running
from tests.descriptors import open_descriptors
from tests.runtime.engine.service.containers.lifecycle_fakes import FakeNetworks
from tests.runtime.engine.service.stdio.stream_fakes import (
    ID,
    NAME,
    Program,
    all_of,
    record,
    service_of,
    settle,
)

ATTACHED = ExecStartRequest()
BOTH = {"attach_stdout": True, "attach_stderr": True}


class World:
    def __init__(self, root: Path) -> None:
        self.service = service_of(root, record(env=["A=1", "B=2"], user="1000"))
        self.spawner, self.containers = self.service.spawner, self.service.containers
        self.execs = Execs(self.service, FakeNetworks())

    async def create(self, *cmd: str, **options: Any) -> str:
        return await self.execs.create(NAME, ExecRequest(cmd=list(cmd) or ["sh"], **options))

    def program(self, exec_id: str) -> Program:
        return self.spawner.execs[exec_id]

    def end(self, exec_id: str, code: int = 0) -> None:
        self.program(exec_id).end()
        self.execs.ended(Exited(id=ID, exec_id=exec_id, code=code))


@pytest.fixture
def play(tmp_path: Path):
    def play(scene: Callable[[World], Awaitable[None]]) -> None:
        async def main() -> None:
            before = open_descriptors()
            world = World(tmp_path)
            try:
                await scene(world)
                await settle()
            finally:
                world.execs.close()
            assert open_descriptors() <= before

        asyncio.run(main())

    return play


def test_output_and_code_of_an_attached_exec(play):
    async def scene(world: World) -> None:
        exec_id = await world.create("ls", "-l", **BOTH)
        assert not world.execs.inspect(exec_id)["Running"]
        assert world.execs.of(ID) == [exec_id]
        attachment = await world.execs.start(exec_id, ATTACHED)
        assert attachment is not None
        assert world.execs.of(ID) == [exec_id]
        told = world.execs.inspect(exec_id)
        assert (told["Running"], told["ExitCode"], told["Pid"]) == (True, None, 4242)
        assert told["ProcessConfig"]["entrypoint"] == "ls"
        assert told["ProcessConfig"]["arguments"] == ["-l"]
        os.write(world.program(exec_id).stdout, b"out")
        os.write(world.program(exec_id).stderr, b"err")
        world.end(exec_id, 3)
        assert await all_of(attachment) == {1: b"out", 2: b"err"}
        told = world.execs.inspect(exec_id)
        assert (told["Running"], told["ExitCode"]) == (False, 3)
        await settle()
        assert ("release", exec_id) in world.spawner.asked
        assert world.containers.told == [
            ("exec_create: ls -l", {"execID": exec_id}),
            ("exec_start: ls -l", {"execID": exec_id}),
            ("exec_die", {"execID": exec_id, "exitCode": "3"}),
        ]

    play(scene)


def test_the_request_is_the_containers_with_what_was_asked(play):
    async def scene(world: World) -> None:
        asked = {"env": ["B=3", "C=4"], "user": "0:5", "working_dir": "/tmp", "tty": True, "privileged": True}
        exec_id = await world.create("env", attach_stdin=True, **asked)
        await world.execs.start(exec_id, ExecStartRequest(detach=True, console_size=[40, 132]))
        request = world.spawner.asked[0][1]
        env = dict(one.split("=", 1) for one in request.env)
        assert {name: env[name] for name in "ABC"} == {"A": "1", "B": "3", "C": "4"}
        assert env["TERM"] == "xterm"
        assert (request.user, request.cwd, request.privileged) == ("0:5", "/tmp", True)
        assert (request.tty, request.stdin, request.rows, request.columns) == (True, True, 40, 132)
        world.end(exec_id)

    play(scene)


def test_a_program_that_ends_before_the_answer_to_its_start(play, monkeypatch):
    async def scene(world: World) -> None:
        spawn = world.spawner.exec

        async def quick(request: Any) -> Any:
            answer = await spawn(request)
            os.write(world.program(request.exec_id).stdout, b"gone already")
            world.end(request.exec_id, 7)
            return answer

        monkeypatch.setattr(world.spawner, "exec", quick)
        exec_id = await world.create(**BOTH)
        attachment = await world.execs.start(exec_id, ATTACHED)
        assert attachment is not None
        assert await all_of(attachment) == {1: b"gone already"}
        assert world.execs.inspect(exec_id)["ExitCode"] == 7

    play(scene)


def test_its_input_ends_with_the_client(play):
    async def scene(world: World) -> None:
        exec_id = await world.create("cat", attach_stdin=True, **BOTH)
        attachment = await world.execs.start(exec_id, ATTACHED)
        assert attachment is not None
        await attachment.write(b"typed")
        await attachment.close()
        assert os.read(world.program(exec_id).stdin, 100) == b"typed"
        assert os.read(world.program(exec_id).stdin, 100) == b""
        assert ("close_stdin", exec_id) in world.spawner.asked
        world.end(exec_id)

    play(scene)


def test_nobody_has_to_read_a_detached_exec(play):
    async def scene(world: World) -> None:
        exec_id = await world.create()
        assert await world.execs.start(exec_id, ExecStartRequest(detach=True)) is None
        for _ in range(20):
            os.write(world.program(exec_id).stdout, bytes(1 << 15))
            await asyncio.sleep(0)
        world.end(exec_id, 1)
        await settle()
        assert world.execs.inspect(exec_id)["ExitCode"] == 1

    play(scene)


def test_detach_keys_leave_it_running(play):
    async def scene(world: World) -> None:
        exec_id = await world.create(tty=True, attach_stdin=True, detach_keys="ctrl-a", **BOTH)
        attachment = await world.execs.start(exec_id, ATTACHED)
        assert attachment is not None
        await attachment.write(b"x\x01")
        assert attachment.detached
        assert world.execs.inspect(exec_id)["Running"]
        assert ("exec_detach", {"execID": exec_id}) in world.containers.told
        world.end(exec_id)

    play(scene)


def test_a_start_that_fails_says_so_and_keeps_the_code(play):
    async def scene(world: World) -> None:
        world.spawner.refuse = StartFailedError("no such program", 127)
        exec_id = await world.create("nothing", **BOTH)
        with pytest.raises(StartFailedError):
            await world.execs.start(exec_id, ATTACHED)
        told = world.execs.inspect(exec_id)
        assert (told["Running"], told["ExitCode"]) == (False, 127)

    play(scene)


def test_a_client_that_goes_while_it_starts_leaves_nothing_behind(play):
    async def scene(world: World) -> None:
        exec_id = await world.create(**BOTH)
        starting = asyncio.ensure_future(world.execs.start(exec_id, ATTACHED))
        await asyncio.sleep(0)
        starting.cancel()
        await settle()
        assert world.execs.inspect(exec_id)["Running"]
        world.end(exec_id, 0)
        await settle()
        assert world.execs.inspect(exec_id)["ExitCode"] == 0

    play(scene)


def test_probes_have_a_code_and_bounded_output(play):
    async def scene(world: World) -> None:
        probing = asyncio.ensure_future(
            world.execs.probe(world.containers.record, ["true"], timeout_s=60, most=4)
        )
        await settle()
        (exec_id,) = world.spawner.execs
        os.write(world.program(exec_id).stdout, b"longer than that")
        world.end(exec_id, 1)
        assert await probing == (1, "long")
        with pytest.raises(NotFoundError):
            world.execs.inspect(exec_id)

    play(scene)


def test_a_probe_that_takes_too_long_is_killed(play):
    async def scene(world: World) -> None:
        assert (await world.execs.probe(world.containers.record, ["sleep"], timeout_s=0.01)).code == -1
        (exec_id,) = world.spawner.execs
        assert ("signal", 9, exec_id) in world.spawner.asked
        world.end(exec_id, 137)

    play(scene)


def test_an_exec_of_an_earlier_daemon_is_drained_and_its_end_awaited(play):
    async def scene(world: World) -> None:
        program = world.spawner.execs["e" * 64] = Program(stdin=False)
        world.execs.adopt(Running(id=ID, exec_id="e" * 64, pid=7, tty=False, stdin=False))
        await settle()
        assert world.execs.of(ID) == ["e" * 64]
        for _ in range(20):
            os.write(program.stdout, bytes(1 << 15))
            await asyncio.sleep(0)
        world.end("e" * 64, 5)
        await settle()
        assert world.execs.inspect("e" * 64)["ExitCode"] == 5
        gone = Exited(id=ID, exec_id="f" * 64, code=0)
        world.execs.adopt(Running(id=ID, exec_id="f" * 64, pid=8, tty=False, stdin=False, exited=gone))
        await settle()
        assert ("release", "f" * 64) in world.spawner.asked

    play(scene)


def test_sizes_reach_the_terminal(play):
    async def scene(world: World) -> None:
        exec_id = await world.create(tty=True, **BOTH)
        await world.execs.resize(exec_id, 10, 20)
        await world.execs.start(exec_id, ExecStartRequest(detach=True))
        assert (world.spawner.asked[0][1].rows, world.spawner.asked[0][1].columns) == (10, 20)
        await world.execs.resize(exec_id, 30, 40)
        assert world.spawner.asked[-1] == ("resize", 30, 40, exec_id)
        world.end(exec_id)

    play(scene)


def test_what_is_refused(play):
    async def scene(world: World) -> None:
        with pytest.raises(NotFoundError, match="No such exec instance: nope"):
            world.execs.inspect("nope")
        with pytest.raises(BadParameterError, match="No exec command specified"):
            await world.execs.create(NAME, ExecRequest())
        exec_id = await world.create()
        await world.execs.start(exec_id, ExecStartRequest(detach=True))
        with pytest.raises(ConflictError, match="is already running"):
            await world.execs.start(exec_id, ATTACHED)
        world.end(exec_id)
        await settle()
        with pytest.raises(ConflictError, match="has already run"):
            await world.execs.start(exec_id, ATTACHED)
        world.execs.forget(ID)
        with pytest.raises(NotFoundError):
            world.execs.inspect(exec_id)

    play(scene)


def test_what_was_not_started_ends_with_the_containers_run(play):
    async def scene(world: World) -> None:
        noted, started = await world.create(), await world.create()
        await world.execs.start(started, ExecStartRequest(detach=True))
        world.end(started, 5)
        await settle()
        world.execs.drop_unstarted(ID)
        with pytest.raises(NotFoundError, match=f"No such exec instance: {noted}"):
            await world.execs.start(noted, ATTACHED)
        assert world.execs.inspect(started)["ExitCode"] == 5, "its client may still ask"

    play(scene)


@pytest.mark.parametrize(
    ("status", "message"),
    [
        ("exited", f"container {ID} is not running"),
        ("paused", "Container box is paused, unpause the container before exec"),
    ],
)
def test_containers_that_take_no_exec(play, status: str, message: str):
    async def scene(world: World) -> None:
        world.containers.record = record(status=status)
        with pytest.raises(ConflictError, match=message):
            await world.create()

    play(scene)


def test_a_container_is_called_as_the_client_has_called_it(play):
    async def scene(world: World) -> None:
        world.containers.record = record(status="paused")
        with pytest.raises(ConflictError, match=f"Container {ID} is paused"):
            await world.execs.create(ID, ExecRequest(cmd=["sh"]))

    play(scene)
