"""A start that hangs in the kernel holds up nothing but itself."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.engine.errors import ConflictError, EngineError
from runtime.engine.spawner.protocol import Exec
from tests.runtime.engine.spawner.spawner_client import Client, connected, settled
from tests.waiting import in_loop

pytestmark = pytest.mark.root


@pytest.fixture
def slow(layers: tuple[str, ...], tmp_path: Path) -> tuple[str, ...]:
    """Layers with a program /slow, a copy of busybox's."""
    shutil.copy(Path(layers[0], "bin/busybox"), tmp_path / "slow")
    return (*layers, str(tmp_path))


@contextlib.contextmanager
def held_up(layers: tuple[str, ...]) -> Iterator[None]:
    """While held, an open of /slow waits: for the end of our lease."""
    fd = os.open(Path(layers[-1], "slow"), os.O_RDWR)
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)  # instead of SIGIO, which would end us
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_WRLCK)
        yield
    finally:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        os.close(fd)


async def begun(client: Client) -> None:
    """Let the spawner take what was sent: an answer comes after it."""
    await client.spawner.network_down("none")


@in_loop
async def test_others_start_and_end_meanwhile(root, slow):
    async with connected(root, slow) as client:
        request = client.request("/slow", "echo")
        with held_up(slow):
            start = asyncio.ensure_future(client.spawner.start(request))
            await begun(client)
            assert (await client.run("true"))[0].code == 0
            with pytest.raises(ConflictError, match=request.id):
                await client.spawner.start(request)
            assert not start.done()
        _, fds = await start
        for fd in fds:
            os.close(fd)
        await client.ended(request.id)
        await client.spawner.release(request.id)


@in_loop
async def test_an_exec_holds_up_no_exec(root, slow):
    async with connected(root, slow) as client:
        name, _, _ = await client.start("sleep", "1000")
        with held_up(slow):
            exec_ = asyncio.ensure_future(
                client.spawner.exec(Exec(id=name, exec_id="e", argv=("/slow", "true")))
            )
            await begun(client)
            assert (await client.exec(name, "echo", "quick"))[1] == "quick\n"
            assert not exec_.done()
        _, fds = await exec_
        for fd in fds:
            os.close(fd)
        await client.ended(name, "e")
        await client.spawner.release(name)


@in_loop
async def test_a_start_that_hangs_can_be_given_up(root, slow):
    async with connected(root, slow) as client:
        await client.run("true")
        before = await settled(client.spawner.pid)
        request = client.request("/slow", "true", tty=True)
        with held_up(slow):
            start = asyncio.ensure_future(client.spawner.start(request))
            await begun(client)
            await client.spawner.release(request.id)
            with pytest.raises(EngineError, match=request.id):
                await start
        await settled(client.spawner.pid, before)


@in_loop
async def test_a_release_takes_along_an_exec_that_hangs(root, slow):
    async with connected(root, slow) as client:
        name, _, _ = await client.start("sleep", "1000")
        with held_up(slow):
            exec_ = asyncio.ensure_future(
                client.spawner.exec(Exec(id=name, exec_id="e", argv=("/slow", "true")))
            )
            await begun(client)
            await client.spawner.release(name)
            with pytest.raises(EngineError):
                await exec_


@in_loop
async def test_the_spawner_ends_with_a_start_that_hangs(tmp_path, slow):
    with held_up(slow):
        async with connected(tmp_path / "root", slow, kill=True) as client:
            start = asyncio.ensure_future(client.spawner.start(client.request("/slow", "true")))
            await begun(client)
        with pytest.raises(EngineError):
            await start
