"""A client of a real spawner, and short words for what tests do with one."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import select
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

from runtime.engine import ContainerConfig
from runtime.engine.spawner.client import Spawner
from runtime.engine.spawner.protocol import Exec, Exited, Start, Started
from runtime.spawn.syscalls import MACHINE, table
from tests.runtime.host_traces import cgroups_of

_WAITS = {str(table(MACHINE).get(name)) for name in ("epoll_wait", "epoll_pwait")}
_numbers = itertools.count(1)


class Client:
    """A connection to the spawner, and short words for what the tests do with it."""

    def __init__(self, spawner: Spawner, root: Path, layers: tuple[str, ...]) -> None:
        self.spawner = spawner
        self.root = root
        self._layers = layers
        self._exits: dict[tuple[str, str], asyncio.Future[Exited]] = {}
        spawner.on_exit = lambda exited: self._exit(exited.id, exited.exec_id).set_result(exited)

    def _exit(self, name: str, exec_id: str) -> asyncio.Future[Exited]:
        loop = asyncio.get_running_loop()
        return self._exits.setdefault((name, exec_id), loop.create_future())

    async def ended(self, name: str, exec_id: str = "") -> Exited:
        """Wait for an end that is told."""
        return await self._exit(name, exec_id)

    def has_ended(self, name: str) -> bool:
        """Whether its end was told."""
        return self._exit(name, "").done()

    def request(self, *argv: str, **options: Any) -> Start:
        """Ask for a container of an id of its own; options of Start, all others of its config."""
        name = options.pop("id", None) or f"{next(_numbers):064x}"
        own = {key: options.pop(key) for key in list(options) if key in Start.__struct_fields__}
        options.setdefault("home", str(self.root / "containers" / name / "layer"))
        options.setdefault("hostname", name[:12])
        if own.get("endpoints"):
            options.setdefault("network", own["endpoints"][0].network)
        config = ContainerConfig(argv=argv, layers=self._layers, cgroup_view=True, **options)
        return Start(id=name, config=config, **own)

    async def start(self, *argv: str, **options: Any) -> tuple[str, Started, list[int]]:
        """Start a container; its id, the answer and the descriptors."""
        request = self.request(*argv, **options)
        started, fds = await self.spawner.start(request)
        return request.id, started, fds

    async def run(self, *argv: str, **options: Any) -> tuple[Exited, str]:
        """Run a program to its end and release it; how it ended, and what it wrote."""
        name, _, fds = await self.start(*argv, **options)
        text = "".join([await read_all(fd) for fd in fds])
        exited = await self.ended(name)
        await self.spawner.release(name)
        return exited, text

    async def exec(self, name: str, *argv: str, **options: Any) -> tuple[Exited, str]:
        """Run a program in a container to its end; how it ended, and what it wrote."""
        exec_id = f"{next(_numbers):064x}"
        _, fds = await self.spawner.exec(Exec(id=name, exec_id=exec_id, argv=argv, **options))
        text = "".join([await read_all(fd) for fd in fds])
        exited = await self.ended(name, exec_id)
        await self.spawner.release(name, exec_id)
        return exited, text


def _read(fd: int) -> bytes:
    """Read what comes; a test that waits too long fails, though its thread cannot be cancelled."""
    assert select.select([fd], [], [], 120)[0], "nothing came"
    return os.read(fd, 1 << 16)


async def read_all(fd: int) -> str:
    """Read to the end, and close."""

    def read() -> str:
        data = b""
        with contextlib.suppress(OSError):  # EIO is a terminal's end
            while chunk := _read(fd):
                data += chunk
        os.close(fd)
        return data.decode()

    return await asyncio.to_thread(read)


async def read_until(fd: int, word: bytes) -> bytes:
    """Read until `word` has come; what follows in the same piece is returned too."""

    def read() -> bytes:
        data = b""
        while word not in data:
            chunk = _read(fd)
            assert chunk, data
            data += chunk
        return data

    return await asyncio.to_thread(read)


@contextlib.asynccontextmanager
async def connected(root: Path, layers: tuple[str, ...], *, kill: bool = False) -> AsyncIterator[Client]:
    """Connect; with `kill` the spawner ends afterwards, else it stays."""
    spawner = await Spawner.open(root)
    try:
        yield Client(spawner, root, layers)
    finally:
        await spawner.close(kill=kill)


def namespace(pid: int, kind: str) -> str:
    """The namespace a process is in, as the kernel names it."""
    return str(Path(f"/proc/{pid}/ns/{kind}").readlink())


class Traces(NamedTuple):
    """What a spawner holds on the host: open files, cgroup directories, children."""

    files: int
    cgroups: int
    children: int


def traces(pid: int) -> Traces:
    """Count what the spawner of this pid holds now."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return Traces(len(list(Path(f"/proc/{pid}/fd").iterdir())), len(cgroups_of(pid)), len(children))


def _rests(pid: int) -> bool:
    """Whether a spawner waits for what others want of it, and not just for a moment: its pools are full."""
    call, *arguments = Path(f"/proc/{pid}/syscall").read_text().split()
    return call in _WAITS and int(arguments[3], 16) > 1000  # milliseconds, or -1


async def settled(pid: int, wanted: Traces | None = None) -> Traces:
    """Wait until the spawner has nothing to do, and what it holds is what is wanted."""
    deadline = time.monotonic() + 60
    while not _rests(pid) or (seen := traces(pid)) != (wanted or seen):
        assert time.monotonic() < deadline, f"{traces(pid)}, and not {wanted}"
        await asyncio.sleep(0.01)
    return seen


def is_running(pid: int) -> bool:
    """Whether there is such a process, and it is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
