"""Streams with real pipes and terminals; the program is the test."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.engine.errors import BadParameterError, ConflictError, NotFoundError, UnavailableError
from runtime.engine.service.model.request import LogConfig
from runtime.engine.service.stdio import fanout as hub_module
from runtime.engine.service.stdio.attachment import MOST
from runtime.engine.service.stdio.log_reader import LogQuery
from runtime.engine.service.stdio.streams import Streams
from tests.descriptors import open_descriptors
from tests.runtime.engine.service.stdio.stream_fakes import ID, Program, all_of, record, service_of, settle


class World:
    def __init__(self, root: Path, config: dict[str, Any]) -> None:
        self.service = service_of(root, record(**config))
        self.streams = Streams(self.service)
        self.asked = self.service.spawner.asked

    def start(self) -> Program:
        config = self.service.containers.record.config
        program = Program(tty=config.tty, stdin=config.open_stdin)
        self.streams.adopt(ID, program.fds)
        return program

    async def log(self, **options: Any) -> dict[int, bytes]:
        return await all_of(self.streams.logs(ID, LogQuery(**options)))


@pytest.fixture
def play(tmp_path: Path):
    """Run a scene in a loop, and see that no descriptor is left open."""

    def play(scene: Callable[[World], Awaitable[None]], **config: Any) -> None:
        async def main() -> None:
            before = open_descriptors()
            world = World(tmp_path, config)
            try:
                await scene(world)
            finally:
                world.streams.close()
            assert open_descriptors() <= before

        asyncio.run(main())

    return play


def test_a_program_that_ends_at_once_is_heard_by_who_attached_before(play):
    async def scene(world: World) -> None:
        attachment = world.streams.attach(ID)
        program = world.start()
        os.write(program.stdout, b"out")
        os.write(program.stderr, b"err")
        program.end()
        await world.streams.drained(ID)
        assert await all_of(attachment) == {1: b"out", 2: b"err"}
        assert await world.log() == {1: b"out", 2: b"err"}
        await attachment.close()

    play(scene)


def test_the_next_run_is_for_those_who_attach_after_the_first(play):
    async def scene(world: World) -> None:
        for word in (b"one\n", b"two\n"):
            attachment = world.streams.attach(ID)
            program = world.start()
            os.write(program.stdout, word)
            program.end()
            await world.streams.drained(ID)
            assert await all_of(attachment) == {1: word}
        assert await world.log() == {1: b"one\ntwo\n"}

    play(scene)


@pytest.mark.parametrize("gone", ["not started", "removed"])
def test_who_waits_for_a_start_that_never_comes_is_let_go(play, gone: str):
    async def scene(world: World) -> None:
        attachment = world.streams.attach(ID, stdin=True)
        typing = asyncio.ensure_future(attachment.write(b"x"))
        await settle()
        assert not typing.done()
        await (world.streams.drained if gone == "not started" else world.streams.discard)(ID)
        assert await all_of(attachment) == {}
        await typing

    play(scene, open_stdin=True)


def test_input_waits_for_the_start_and_a_half_close_ends_it(play):
    async def scene(world: World) -> None:
        attachment = world.streams.attach(ID, stdin=True)
        typing = asyncio.ensure_future(attachment.write(b"typed early"))
        await settle()
        program = world.start()
        await typing
        await attachment.close_stdin()
        assert os.read(program.stdin, 100) == b"typed early"
        assert os.read(program.stdin, 100) == b""
        assert world.asked == [("close_stdin", "")]
        os.write(program.stdout, b"still heard")
        program.end()
        await world.streams.drained(ID)
        assert await all_of(attachment) == {1: b"still heard"}

    play(scene, open_stdin=True, stdin_once=True)


def test_a_client_that_left_before_the_start_has_ended_the_input(play):
    async def scene(world: World) -> None:
        attachment = world.streams.attach(ID, stdin=True)
        await attachment.close()
        program = world.start()
        await settle()
        assert os.read(program.stdin, 1) == b""
        assert world.asked == [("close_stdin", "")]
        program.end()
        await world.streams.drained(ID)

    play(scene, open_stdin=True, stdin_once=True)


def test_input_stays_open_for_others_unless_it_is_for_one(play):
    async def scene(world: World) -> None:
        program = world.start()
        first = world.streams.attach(ID, stdin=True)
        await first.write(b"1")
        await first.close_stdin()
        assert await all_of(first) == {}  # as docker does: such a client is let go
        second = world.streams.attach(ID, stdin=True)
        await second.write(b"2")
        assert os.read(program.stdin, 100) == b"12"
        assert world.asked == []
        await second.close()
        program.end()
        await world.streams.drained(ID)

    play(scene, open_stdin=True)


def test_a_client_without_open_stdin_is_not_let_go_by_its_half_close(play):
    async def scene(world: World) -> None:
        program = world.start()
        attachment = world.streams.attach(ID, stdin=True)
        await attachment.write(b"nobody reads this")
        await attachment.close_stdin()
        os.write(program.stdout, b"heard")
        program.end()
        await world.streams.drained(ID)
        assert await all_of(attachment) == {1: b"heard"}

    play(scene)


def test_a_client_that_does_not_read_holds_the_program_back(play):
    async def scene(world: World) -> None:
        program = world.start()
        os.set_blocking(program.stdout, False)
        slow, quick = world.streams.attach(ID), world.streams.attach(ID)
        reading = asyncio.ensure_future(all_of(quick))
        written = await fill(program.stdout)
        assert MOST <= written <= MOST + (2 << 20)
        heard = 0
        async for _, data in slow:  # and once it reads, the rest comes
            heard += len(data)
            if heard >= written:
                break
        program.end()
        await world.streams.drained(ID)
        assert heard == written == len((await reading)[1])
        await slow.close()

    play(scene, log=LogConfig(type="none"))


async def fill(fd: int) -> int:
    """Write until nobody takes more."""
    written, idle = 0, 0
    while idle < 50:
        try:
            written += os.write(fd, bytes(1 << 16))
            idle = 0
        except BlockingIOError:
            idle += 1
            await asyncio.sleep(0)
    return written


def test_a_slow_client_that_leaves_lets_the_program_go_on(play):
    async def scene(world: World) -> None:
        program = world.start()
        os.set_blocking(program.stdout, False)
        slow = world.streams.attach(ID)
        await fill(program.stdout)
        await slow.close()
        await settle()
        assert os.write(program.stdout, b"x") == 1
        program.end()
        await world.streams.drained(ID)

    play(scene, log=LogConfig(type="none"))


def test_a_slow_client_gets_the_end_too(play):
    async def scene(world: World) -> None:
        program = world.start()
        os.set_blocking(program.stdout, False)
        slow = world.streams.attach(ID)
        written = await fill(program.stdout)
        program.end()
        await world.streams.drained(ID)
        assert len((await all_of(slow))[1]) == written

    play(scene, log=LogConfig(type="none"))


def test_what_is_held_open_outside_is_given_up(play, monkeypatch):
    monkeypatch.setattr(hub_module, "PATIENCE_S", 0.05)

    async def scene(world: World) -> None:
        attachment = world.streams.attach(ID)
        program = world.start()
        os.write(program.stdout, b"last words")
        await world.streams.drained(ID)
        assert await all_of(attachment) == {1: b"last words"}
        program.end()

    play(scene)


def test_what_was_written_comes_though_there_was_no_time_to_read_it(play, monkeypatch):
    monkeypatch.setattr(hub_module, "PATIENCE_S", 0.0)

    async def scene(world: World) -> None:
        attachment = world.streams.attach(ID)
        program = world.start()
        os.set_blocking(program.stdout, False)
        fcntl.fcntl(program.stdout, fcntl.F_SETPIPE_SZ, 1 << 20)
        written = os.write(program.stdout, b"x" * (1 << 20))
        await world.streams.drained(ID)
        assert len((await all_of(attachment))[1]) == written > 1 << 16
        program.end()

    play(scene)


def test_a_terminal_is_one_stream_both_ways_until_it_hangs_up(play):
    async def scene(world: World) -> None:
        attachment = world.streams.attach(ID, stdin=True)
        program = world.start()
        await attachment.write(b"ls\r")
        assert os.read(program.stdin, 100) == b"ls\r"
        os.write(program.stdout, b"file\r\n")
        program.end()
        await world.streams.drained(ID)
        assert attachment.tty
        assert await all_of(attachment) == {1: b"file\r\n"}

    play(scene, tty=True, open_stdin=True, stdin_once=True)


@pytest.mark.parametrize(("keys", "typed"), [("", b"ab\x10\x11cd"), ("x,ctrl-a", b"abx\x01cd")])
def test_detach_keys_let_go_and_the_program_goes_on(play, keys: str, typed: bytes):
    async def scene(world: World) -> None:
        program = world.start()
        attachment = world.streams.attach(ID, stdin=True, detach_keys=keys)
        await attachment.write(typed)
        assert attachment.detached
        assert await all_of(attachment) == {}
        await attachment.close()
        assert os.read(program.stdin, 100) == b"ab"
        assert world.asked == []
        assert [action for action, _ in world.service.containers.told] == ["attach", "detach"]
        program.end()
        await world.streams.drained(ID)

    play(scene, tty=True, open_stdin=True, stdin_once=True)


def test_keys_are_plain_input_without_a_terminal(play):
    async def scene(world: World) -> None:
        program = world.start()
        attachment = world.streams.attach(ID, stdin=True)
        await attachment.write(b"\x10\x11")
        assert os.read(program.stdin, 100) == b"\x10\x11"
        program.end()
        await world.streams.drained(ID)

    play(scene, open_stdin=True)


def test_the_log_first_and_then_the_rest_without_a_gap(play):
    async def scene(world: World) -> None:
        program = world.start()
        os.write(program.stdout, b"before\n")
        os.write(program.stderr, b"not asked for\n")
        await asyncio.sleep(0.01)
        attachment = world.streams.attach(ID, logs=True, stderr=False)
        os.write(program.stdout, b"after\n")
        program.end()
        await world.streams.drained(ID)
        assert await all_of(attachment) == {1: b"before\nafter\n"}
        only_log = world.streams.attach(ID, logs=True, stream=False)
        assert await all_of(only_log) == {1: b"before\nafter\n", 2: b"not asked for\n"}

    play(scene)


def test_following_a_log_ends_with_the_run(play):
    async def scene(world: World) -> None:
        program = world.start()
        following = asyncio.ensure_future(world.log(follow=True))
        await settle()
        os.write(program.stdout, b"one\ntwo\n")
        program.end()
        await world.streams.drained(ID)
        assert await following == {1: b"one\ntwo\n"}
        assert await world.log(follow=True, tail=1) == {1: b"two\n"}

    play(scene)


def test_a_new_daemon_reads_on_where_the_old_one_was_killed(play, tmp_path: Path):
    async def scene(world: World) -> None:
        program = world.start()
        copies = [os.dup(fd) for fd in program.fds]
        os.write(program.stdout, b"half a li")
        await asyncio.sleep(0.01)
        world.streams.close()  # what a kill leaves: the pipes in the spawner, and what is on disk
        os.write(program.stdout, b"ne\nmore\n")
        later = World(tmp_path, {"open_stdin": True})
        later.streams.adopt(ID, copies)
        program.end()
        await later.streams.drained(ID)
        assert await later.log() == {1: b"half a line\nmore\n"}
        assert await later.log(tail=2) == {1: b"half a line\nmore\n"}
        later.streams.close()

    play(scene, open_stdin=True)


def test_many_bytes_through_both_ways_are_the_same_bytes(play):
    """A program in a thread that copies its stdin, as `cat` does: 32 MiB."""

    async def scene(world: World) -> None:
        program = world.start()
        attachment = world.streams.attach(ID, stdin=True)
        thread = threading.Thread(target=copy, args=(program,))
        thread.start()
        sent, heard, block = hashlib.sha256(), hashlib.sha256(), os.urandom(1 << 18)

        async def send() -> None:
            for number in range(128):
                data = block[number:] + block[:number]
                sent.update(data)
                await attachment.write(data)
            await attachment.close_stdin()

        sending = asyncio.ensure_future(send())
        drained = asyncio.get_running_loop().run_in_executor(None, thread.join)
        drained.add_done_callback(lambda _: asyncio.ensure_future(world.streams.drained(ID)))
        async for _, data in attachment:
            heard.update(data)
        await sending
        assert heard.digest() == sent.digest()

    play(scene, open_stdin=True, stdin_once=True, log=LogConfig(type="none"))


def copy(program: Program) -> None:
    while data := os.read(program.stdin, 1 << 16):
        while data:
            data = data[os.write(program.stdout, data) :]
    program.end()


@pytest.mark.parametrize("status", ["paused", "restarting"])
def test_containers_that_cannot_be_attached_to(play, status: str):
    async def scene(world: World) -> None:
        with pytest.raises(ConflictError, match=f"container box is {status}"):
            world.streams.attach(ID)

    play(scene, status=status)


def test_what_is_refused_is_refused_at_once(play):
    async def scene(world: World) -> None:
        with pytest.raises(NotFoundError):
            world.streams.logs("other", LogQuery())
        with pytest.raises(NotFoundError):
            world.streams.attach("other")
        with pytest.raises(UnavailableError, match="does not support reading"):
            world.streams.logs(ID, LogQuery())
        with pytest.raises(BadParameterError, match="Invalid detach keys"):
            world.streams.attach(ID, detach_keys="ctrl-!")

    play(scene, log=LogConfig(type="none"))
