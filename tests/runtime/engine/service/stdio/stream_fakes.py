"""A daemon without its containers: what streams, execs and files ask of the rest, in memory."""

from __future__ import annotations

import asyncio
import os
import pty
import tty
from collections.abc import AsyncIterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from runtime.engine.errors import NotFoundError
from runtime.engine.service.host.events import EventBus
from runtime.engine.service.model.record import ContainerRecord, State
from runtime.engine.service.model.request import Config, HostConfig, LogConfig
from runtime.engine.service.records.waiters import Condition, Ended, Waiters
from runtime.engine.service.stdio.json_log import JsonLog
from runtime.engine.service.stdio.log_reader import LogQuery, read_log
from runtime.engine.spawner.protocol import Exec, Started

ID = "c" * 64
NAME = "box"


def record(
    *,
    status: str = "running",
    pid: int = 0,
    mounts: tuple[Any, ...] = (),
    readonly_rootfs: bool = False,
    log: LogConfig | None = None,
    **config: Any,
) -> ContainerRecord:
    return ContainerRecord(
        id=ID,
        name=NAME,
        created="2026-01-01T00:00:00.000000000Z",
        image="busybox",
        image_id="sha256:" + "0" * 64,
        config=Config(**config),
        host_config=HostConfig(log_config=log or LogConfig(), readonly_rootfs=readonly_rootfs),
        path="sh",
        args=(),
        networks={},
        mounts=mounts,
        state=State(status=status, pid=pid),
    )


class Containers:
    """One container, for those who ask Containers and for those who ask the ContainerTable."""

    def __init__(self, root: Path, record: ContainerRecord) -> None:
        self.record = record
        self.directory_path = root / "containers" / record.id
        self.directory_path.mkdir(parents=True, exist_ok=True)
        self.layer_paths: tuple[Path, ...] = ()
        self.bus = EventBus()
        self.waiters = Waiters()

    def subscribe_wait(self, ref: str, condition: Condition) -> asyncio.Future[Ended]:
        self.get(ref)
        return self.waiters.add(condition)

    def get(self, ref: str) -> ContainerRecord:
        if ref not in (ID, NAME):
            raise NotFoundError(f"No such container: {ref}")
        return self.record

    def directory(self, id: str) -> Path:  # noqa: A002
        assert id == ID
        return self.directory_path

    def layers(self, of: str | ContainerRecord) -> tuple[Path, ...]:
        assert of in (ID, self.record)
        return self.layer_paths

    def publish(self, record: ContainerRecord, action: str, more: Mapping[str, str] | None = None) -> None:
        self.bus.publish("container", action, record.id, more)

    @property
    def told(self) -> list[tuple[str, dict[str, str]]]:
        return [(event.action, dict(event.attributes)) for event in self.bus._kept]


class Spawner:
    """Notes what it is asked; execs are pipes that the test writes to."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.execs: dict[str, Program] = {}
        self.refuse: Exception | None = None
        self.usages: list[Any] = []
        self.all_pids: tuple[int, ...] = ()

    async def close_stdin(self, id: str, exec_id: str = "") -> None:  # noqa: A002
        self.asked.append(("close_stdin", exec_id))

    async def exec(self, request: Exec) -> tuple[Started, list[int]]:
        await asyncio.sleep(0)
        self.asked.append(("exec", request))
        if self.refuse is not None:
            raise self.refuse
        program = self.execs[request.exec_id] = Program(tty=request.tty, stdin=request.stdin)
        return Started(pid=4242, started_ns=1), program.fds

    async def streams(self, id: str, exec_id: str = "") -> list[int]:  # noqa: A002
        return self.execs[exec_id].fds

    async def release(self, id: str, exec_id: str = "") -> None:  # noqa: A002
        self.asked.append(("release", exec_id))

    async def signal(self, id: str, number: int, exec_id: str = "") -> None:  # noqa: A002
        self.asked.append(("signal", number, exec_id))

    async def resize(self, id: str, rows: int, columns: int, exec_id: str = "") -> None:  # noqa: A002
        self.asked.append(("resize", rows, columns, exec_id))

    async def usage(self, id: str) -> Any:  # noqa: A002
        return self.usages.pop(0)

    async def pids(self, id: str) -> tuple[int, ...]:  # noqa: A002
        return self.all_pids


class Program:
    """A program that a test plays: `fds` are the daemon's, `stdin`, `stdout`, `stderr` the test's."""

    def __init__(self, *, tty: bool = False, stdin: bool = True) -> None:
        self.tty = tty
        if tty:
            terminal, mine = pty.openpty()
            raw(mine)
            self.fds = [terminal]
            self.stdin = self.stdout = self.stderr = mine
            return
        inward, outward, error = os.pipe(), os.pipe(), os.pipe()
        self.stdin, self.stdout, self.stderr = inward[0], outward[1], error[1]
        self.fds = [inward[1], outward[0], error[0]]
        if not stdin:
            os.close(self.fds.pop(0))

    def end(self) -> None:
        for fd in {self.stdin, self.stdout, self.stderr}:
            os.close(fd)


def raw(fd: int) -> None:
    """No echo, no translation: what is written is what is read."""
    tty.setraw(fd)


def service_of(root: Path, record: ContainerRecord) -> Any:
    containers = Containers(root, record)
    return SimpleNamespace(root=root, containers=containers, table=containers, spawner=Spawner())


async def all_of(pieces: AsyncIterable[tuple[int, bytes]]) -> dict[int, bytes]:
    """What comes to the end, by stream."""
    found: dict[int, bytes] = {}
    async for stream, data in pieces:
        found[stream] = found.get(stream, b"") + data
    return found


async def settle() -> None:
    """Let everything that can happen by itself happen."""
    for _ in range(20):
        await asyncio.sleep(0)


def read(log: JsonLog, **query: object) -> list[tuple[int, bytes]]:
    """What a log has, by stream."""

    async def collect() -> list[tuple[int, bytes]]:
        return [piece async for piece in read_log(log, LogQuery(**query), log.end())]

    return asyncio.run(collect())


def joined(log: JsonLog, **query: object) -> bytes:
    """What a log has, in one piece."""
    return b"".join(data for _, data in read(log, **query))
