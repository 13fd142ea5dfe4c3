"""Whatever a container does, its end is reported, its kill is answered, and others are served meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from runtime.engine import Engine
from runtime.engine.config import bind
from runtime.engine.errors import EngineError
from tests.runtime.engine.spawner.spawner_client import (
    Client,
    connected,
    read_all,
    read_until,
    settled,
)
from tests.runtime.host_traces import cgroups_of
from tests.runtime.hostile_program import PROGRAM, STATUS, begun, build_hostile, dead_filesystem
from tests.waiting import in_loop

pytestmark = pytest.mark.root

_BOUND_S = 60


@pytest.fixture(scope="module")
def hostile(layers: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Layers with the program."""
    directory = tmp_path_factory.mktemp("hostile")
    build_hostile(directory)
    return (*layers, str(directory))


async def begin(client: Client, *life: str, **options: object) -> tuple[str, int]:
    """Start a life; its id and pid, once it is so far."""
    name, started, (out, err) = await client.start(PROGRAM, *life, **options)
    await read_until(out, b"on\n")
    for fd in (out, err):
        os.close(fd)
    return name, started.pid


def sweep(root: Path) -> None:
    with Engine(root, pools=False):
        pass


async def stick(client: Client, tmp_path: Path, server: subprocess.Popen[bytes]) -> str:
    """Start a container whose program no signal ends."""
    mounts = (bind(str(tmp_path / "over"), "/over"),)
    name, _ = await begin(client, "touch", "/over/dead/file", mounts=mounts)
    assert server.stdout is not None
    assert await asyncio.to_thread(server.stdout.readline) == b"taken\n"
    return name


async def killed(client: Client, name: str) -> None:
    await client.spawner.signal(name, signal.SIGKILL)
    async with asyncio.timeout(_BOUND_S):
        assert (await client.ended(name)).code == 128 + signal.SIGKILL
        await client.spawner.release(name)


@pytest.mark.parametrize("init", [False, True])
@pytest.mark.parametrize("life", ["thread", "thread-stops", "leader-execs", "zombies"])
@in_loop
async def test_an_end_is_reported(root, hostile, life, init):
    async with connected(root, hostile) as client:
        async with asyncio.timeout(_BOUND_S):
            if life == "zombies":
                name, _ = await begin(client, life, init=init)
                await killed(client, name)
            else:
                exited, text = await client.run(PROGRAM, life, init=init)
                assert (exited.code, text) == (STATUS, "on\n")
        assert not cgroups_of(client.spawner.pid) or await settled(client.spawner.pid)


@pytest.mark.parametrize("life", ["thread", "thread-stops", "leader-execs", "sibling"])
@in_loop
async def test_an_exec_holds_up_neither_itself_nor_its_container(root, hostile, life):
    async with connected(root, hostile) as client:
        before = await settled(client.spawner.pid)
        name, _, fds = await client.start("sleep", "1000")
        async with asyncio.timeout(_BOUND_S):
            exited, text = await client.exec(name, PROGRAM, life)
        assert (exited.code, text) == (STATUS, "on\n")
        await killed(client, name)
        for fd in fds:
            await read_all(fd)
        assert (await settled(client.spawner.pid)).children == before.children


@in_loop
async def test_a_traced_program_gets_its_signals(root, hostile):
    async with connected(root, hostile) as client:
        name, _ = await begin(client, "leader")
        await client.spawner.signal(name, signal.SIGTERM)
        async with asyncio.timeout(_BOUND_S):
            assert (await client.ended(name)).code == STATUS
        await client.spawner.release(name)


@pytest.mark.parametrize("life", ["thread-lives", "leader", "traced-at-exit", "vfork", "ignore", "bomb"])
@in_loop
async def test_a_kill_is_answered(root, hostile, life):
    async with connected(root, hostile) as client:
        name, _ = await begin(client, life)
        await killed(client, name)


@in_loop
async def test_what_another_process_traces_holds_up_nobody_else(root, hostile):
    """Its pidfd says that it has ended, and yet it cannot be reaped before its tracer has done so."""
    async with connected(root, hostile) as client:
        name, pid = await begin(client, "wait")
        with begun(Path(hostile[-1], PROGRAM[1:]), "trace", pid):
            await client.spawner.signal(name, signal.SIGKILL)
            async with asyncio.timeout(_BOUND_S):
                assert (await client.run("true"))[0].code == 0
            assert not client.has_ended(name)
        async with asyncio.timeout(_BOUND_S):
            await client.ended(name)
        await client.spawner.release(name)


@pytest.mark.slow
@in_loop
async def test_what_is_stuck_in_the_kernel_holds_up_no_answer(tmp_path, hostile):
    """Its release and the spawner's end fail in time; the next engine frees what is left once that can be."""
    root, program = tmp_path / "root", Path(hostile[-1], PROGRAM[1:])
    with dead_filesystem(program, tmp_path / "over" / "dead") as server:
        spawner = None
        with pytest.raises(EngineError, match="kernel"):
            async with connected(root, hostile, kill=True) as client:
                spawner = client.spawner.pid
                name = await stick(client, tmp_path, server)
                began = time.monotonic()
                with pytest.raises(EngineError, match="kernel"):
                    await client.spawner.release(name)
                assert (await client.run("true"))[0].code == 0
        assert time.monotonic() - began < _BOUND_S
        left = cgroups_of(spawner)
        assert left, "what is stuck is in its cgroup yet"
        await asyncio.to_thread(sweep, root)
        assert time.monotonic() - began < 2 * _BOUND_S
        assert cgroups_of(spawner) == left
    async with asyncio.timeout(_BOUND_S):  # other engines sweep, too, and get in the way
        while cgroups_of(spawner):
            await asyncio.to_thread(sweep, root)


@pytest.mark.slow
@in_loop
async def test_what_was_stuck_is_freed_when_it_is_gone(tmp_path, hostile):
    program = Path(hostile[-1], PROGRAM[1:])
    async with connected(tmp_path / "root", hostile, kill=True) as client:
        await client.run("true")
        before = await settled(client.spawner.pid)
        with dead_filesystem(program, tmp_path / "over" / "dead") as server:
            name = await stick(client, tmp_path, server)
            with pytest.raises(EngineError, match="kernel"):
                await client.spawner.release(name)
        await client.ended(name)
        await settled(client.spawner.pid, before)
