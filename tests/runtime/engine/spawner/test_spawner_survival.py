"""What the spawner is there for: the death of a daemon, many starts at once, its own death, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.engine import Engine
from runtime.engine.errors import UnavailableError
from runtime.engine.spawner.client import Spawner
from tests.paths import REPOSITORY
from tests.runtime.engine.spawner.spawner_client import (
    connected,
    is_running,
    read_all,
    read_until,
    settled,
)
from tests.runtime.host_traces import parents_of
from tests.waiting import in_loop

pytestmark = pytest.mark.root

_DAEMON = """
import asyncio, os, sys
from pathlib import Path
from tests.runtime.engine.spawner.spawner_client import connected

async def main():
    async with connected(Path(sys.argv[1]), (sys.argv[2],)) as client:
        id, _, fds = await client.start("sh", "-c", sys.argv[3], stdin=True)
        print(id, flush=True)
        await asyncio.sleep(1000)

asyncio.run(main())
"""


def killed_daemon(root: Path, layers: tuple[str, ...], script: str) -> str:
    """Start a container from another process, kill that process; the container's id."""
    with subprocess.Popen(
        [sys.executable, "-c", _DAEMON, str(root), *layers, script],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        text=True,
    ) as daemon:
        assert daemon.stdout is not None
        name = daemon.stdout.readline().strip()
        daemon.kill()
    return name


def test_a_container_outlives_its_daemon_and_is_taken_over(root, layers):
    name = killed_daemon(root, layers, "echo before; read line; echo after $line; exit 5")

    @in_loop
    async def adopt() -> None:
        async with connected(root, layers) as client:
            (found,) = [one for one in client.spawner.running if one.id == name]
            assert (found.exited, found.tty, found.stdin) == (None, False, True)
            assert Path(f"/proc/{found.pid}").exists()
            into, out, err = await client.spawner.streams(name)
            assert await read_until(out, b"\n") == b"before\n"
            os.write(into, b"all\n")
            assert await read_all(out) == "after all\n"
            assert await read_all(err) == ""
            assert (await client.ended(name)).code == 5
            os.close(into)
        # Not released: it is told to the next one too.
        async with connected(root, layers) as client:
            (found,) = [one for one in client.spawner.running if one.id == name]
            assert found.exited is not None
            assert found.exited.code == 5
            await client.spawner.release(name)
        async with connected(root, layers) as client:
            assert all(one.id != name for one in client.spawner.running)

    adopt()


def test_output_of_a_container_that_ended_without_a_daemon_is_kept(root, layers):
    name = killed_daemon(root, layers, "echo last words; exit 6")

    @in_loop
    async def adopt() -> None:
        async with connected(root, layers) as client:
            _, out, _ = await client.spawner.streams(name)
            assert await read_all(out) == "last words\n"
            while not (found := [o.exited for o in client.spawner.running if o.id == name])[0]:
                client.spawner.running = (await reopened(root)).running
            assert found[0].code == 6
            await client.spawner.release(name)

    adopt()


async def reopened(root: Path) -> Spawner:
    spawner = await Spawner.open(root)
    await spawner.close(kill=False)
    return spawner


def mounts_here(root: Path) -> list[str]:
    """The host's mounts on and of what is below the root: other tests mount and unmount meanwhile."""
    return [line for line in Path("/proc/mounts").read_text().splitlines() if str(root) in line]


@in_loop
async def test_a_hundred_at_once_leave_nothing(root, layers):
    async with connected(root, layers) as client:
        await client.run("true")
        before = await settled(client.spawner.pid)
        mounts = mounts_here(root)
        requests = [client.request("sh", "-c", f"echo {number}") for number in range(100)]
        answers = await asyncio.gather(*(client.spawner.start(request) for request in requests))
        texts = [await read_all(out) for _, (out, err) in answers if os.close(err) is None]
        assert texts == [f"{number}\n" for number in range(100)]
        codes = [(await client.ended(request.id)).code for request in requests]
        assert codes == [0] * 100
        await asyncio.gather(*(client.spawner.release(request.id) for request in requests))
        await settled(client.spawner.pid, before)
        assert mounts_here(root) == mounts


def test_the_death_of_the_spawner_is_noticed_and_swept(tmp_path, layers):
    @in_loop
    async def die() -> None:
        spawner = await Spawner.open(tmp_path)
        lost = asyncio.Event()
        spawner.on_lost = lost.set
        async with connected(tmp_path, layers) as client:
            name, started, fds = await client.start("sleep", "1000")
            os.kill(spawner.pid, signal.SIGKILL)
            await lost.wait()
            lost.clear()
            spawner.on_lost = lost.set  # who asks only now is told too
            await lost.wait()
            with pytest.raises(UnavailableError):
                await spawner.usage(name)
            async with connected(tmp_path, layers, kill=True) as next_one:
                assert next_one.spawner.pid != spawner.pid
                assert next_one.spawner.running == ()
                assert not parents_of(spawner.pid)
                assert not is_running(started.pid)
                assert (await next_one.run("true"))[0].code == 0
        assert [await read_all(fd) for fd in fds] == ["", ""]

    try:
        die()
    finally:
        Engine(tmp_path, pools=False).close()
    assert list((tmp_path / "run").iterdir()) == []


@in_loop
async def test_its_end_frees_everything(tmp_path, layers):
    async with connected(tmp_path, layers, kill=True) as client:
        spawner = client.spawner
        running, started, _ = await client.start("sh", "-c", "trap '' TERM; sleep 1000")
        paused, _, _ = await client.start("sleep", "1000")
        await spawner.pause(paused)
        ended, _, _ = await client.start("true")
        await client.ended(ended)
        assert parents_of(spawner.pid)
    assert not is_running(spawner.pid)
    assert not is_running(started.pid)
    assert not parents_of(spawner.pid)
    assert list((tmp_path / "run").iterdir()) == []
    assert not (tmp_path / "spawner.sock").exists()
    with pytest.raises(UnavailableError):
        await spawner.usage(running)


@in_loop
async def test_terminate_ends_it_like_a_request(tmp_path, layers):
    async with connected(tmp_path, layers) as client:
        lost = asyncio.Event()
        client.spawner.on_lost = lost.set
        _, started, _ = await client.start("sleep", "1000")
        os.kill(client.spawner.pid, signal.SIGTERM)
        await lost.wait()
    while is_running(client.spawner.pid):
        await asyncio.sleep(0.01)
    assert not is_running(started.pid)
    assert list((tmp_path / "run").iterdir()) == []


@in_loop
async def test_two_daemons_get_one_spawner(tmp_path, layers):
    first, second = await asyncio.gather(Spawner.open(tmp_path), Spawner.open(tmp_path))
    assert first.pid == second.pid
    await second.close(kill=False)
    await first.close(kill=True)


@in_loop
async def test_a_root_that_cannot_be(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UnavailableError, match=f"{tmp_path}/file/root"):
        await Spawner.open(tmp_path / "file" / "root")


@in_loop
async def test_who_comes_while_it_ends_gets_the_next_one(tmp_path, layers):
    async with connected(tmp_path, layers) as client:
        first = client.spawner.pid
        await client.start("sleep", "1000")
        os.kill(first, signal.SIGSTOP)
        os.kill(first, signal.SIGTERM)
        comes = asyncio.ensure_future(Spawner.open(tmp_path))
        await asyncio.sleep(0.05)
        os.kill(first, signal.SIGCONT)
        following = await comes
    assert following.pid != first
    assert (tmp_path / "spawner.sock").exists()
    while is_running(first):
        await asyncio.sleep(0.01)
    second = await Spawner.open(tmp_path)
    assert second.pid == following.pid
    await second.close(kill=False)
    await following.close(kill=True)


@in_loop
async def test_the_end_of_one_leaves_the_socket_of_the_next(tmp_path):
    first = await Spawner.open(tmp_path)
    (tmp_path / "spawner.sock").unlink()
    following = await Spawner.open(tmp_path)
    await first.close(kill=True)
    again = await Spawner.open(tmp_path)
    assert again.pid == following.pid != first.pid
    await again.close(kill=False)
    await following.close(kill=True)
