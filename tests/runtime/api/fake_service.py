"""An in-memory Service with one container `web` that echoes its input, to test the API around it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from runtime.engine.errors import ConflictError, NotFoundError, NotModifiedError, StartFailedError
from runtime.engine.service.containers.execs import ExecRequest, ExecStartRequest
from runtime.engine.service.host.events import EventBus
from runtime.engine.service.model.record import ContainerRecord, State
from runtime.engine.service.model.request import Config, CreateRequest, EndpointSettings, HostConfig
from runtime.engine.service.records.waiters import Ended
from runtime.engine.service.rules.settings import Settings
from runtime.engine.service.stdio.attachment import Attachment
from runtime.engine.service.stdio.log_reader import LogQuery

ID = "a" * 64
EXEC = "e" * 64


def record(**changes: Any) -> ContainerRecord:
    """The container `web`."""
    fields: dict[str, Any] = {
        "id": ID,
        "name": "web",
        "created": "2026-01-31T12:00:00.5Z",
        "image": "busybox:latest",
        "image_id": "sha256:" + "b" * 64,
        "config": Config(image="busybox:latest", labels={"a": "b"}, exposed_ports={"80": {}, "80/tcp": {}}),
        "host_config": HostConfig(network_mode="bridge"),
        "path": "sh",
        "args": ("-c", "sleep 5"),
        "networks": {"bridge": EndpointSettings(ip_address="10.9.0.2", gateway="10.9.0.1")},
        "mounts": (),
        "state": State(status="running", pid=42, started_at="2026-01-31T12:00:01Z"),
    }
    return ContainerRecord(**(fields | changes))


class Echo(Attachment):
    """A program that writes back what it reads until its input ends, then `bye`."""

    def __init__(self, *, tty: bool = False, greeting: bytes = b"") -> None:
        self.tty, self.detached, self.closed = tty, False, False
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        if greeting:
            self._queue.put_nowait(greeting)

    async def __anext__(self) -> tuple[int, bytes]:
        data = await self._queue.get()
        if not data:
            raise StopAsyncIteration
        return 1, data

    async def write(self, data: bytes) -> None:
        await self._queue.put(data)

    async def close_stdin(self) -> None:
        await self._queue.put(b"bye")
        await self._queue.put(b"")

    async def close(self) -> None:
        self.closed = True


class FakeContainers:
    """As runtime.engine.service.containers.containers.Containers, for one container."""

    def __init__(self) -> None:
        self.record = record()
        self.calls: list[tuple[Any, ...]] = []
        self.end: asyncio.Future[Ended] | None = None
        self.start_error: Exception | None = None

    def get(self, ref: str) -> ContainerRecord:
        if ref not in (ID, "web", ID[:12]):
            raise NotFoundError(f"No such container: {ref}")
        return self.record

    def list(self, **asked: Any) -> list[ContainerRecord]:
        self.calls.append(("list", asked))
        return [self.record]

    def directory(self, id: str) -> Path:  # noqa: A002
        return Path("/nowhere") / id

    def layers(self, id: str) -> tuple[Path, ...]:  # noqa: A002
        return (Path("/low"), Path("/high"))

    def links_of(self, record: ContainerRecord) -> list[str] | None:
        return record.host_config.links

    def names_by_links(self) -> dict[str, list[str]]:
        return {}

    async def create(self, name: str | None, request: CreateRequest, **how: Any) -> tuple[str, list[str]]:
        self.calls.append(("create", name, request))
        if name == "taken":
            raise ConflictError("Conflict. The container name is in use")
        return ID, ["careful"]

    async def start(self, ref: str) -> None:
        if self.start_error is not None:
            raise self.start_error
        self.get(ref)
        self.calls.append(("start", ref))

    async def stop(self, ref: str, timeout: int | None = None, signal: str | None = None) -> None:
        self.calls.append(("stop", ref, timeout, signal))
        raise NotModifiedError("it does not run")

    async def kill(self, ref: str, signal: str = "") -> None:
        self.calls.append(("kill", ref, signal))

    async def remove(self, ref: str, **how: bool) -> None:
        self.calls.append(("remove", ref, how))

    async def resize(self, ref: str, rows: int, columns: int) -> None:
        self.calls.append(("resize", ref, rows, columns))

    async def pause(self, ref: str) -> None:
        raise RuntimeError("a bug of ours")

    def subscribe_wait(self, ref: str, condition: str = "not-running") -> asyncio.Future[Ended]:
        self.get(ref)
        self.calls.append(("wait", ref, condition))
        self.end = asyncio.get_running_loop().create_future()
        return self.end


class FakeStreams:
    """As runtime.engine.service.stdio.streams.Streams."""

    def __init__(self) -> None:
        self.attachments: list[Echo] = []
        self.tty = False
        self.following = asyncio.Event()
        self.stopped = asyncio.Event()

    def attach(self, id: str, **asked: Any) -> Echo:  # noqa: A002
        self.attachments.append(Echo(tty=self.tty, greeting=b"hello"))
        return self.attachments[-1]

    async def logs(self, id: str, asked: LogQuery, *, details: bool) -> AsyncIterator[tuple[int, bytes]]:  # noqa: A002
        try:
            yield 1, b"out\n"
            yield 2, b"err\n"
            if asked.tail == 13:
                raise OSError(5, "the disk is gone")
            self.following.set()
            while asked.follow:
                await asyncio.sleep(60)
        finally:
            self.stopped.set()


class FakeExecs:
    """As runtime.engine.service.containers.execs.Execs, for one exec."""

    def __init__(self) -> None:
        self.running, self.fails = False, False

    async def create(self, ref: str, request: ExecRequest) -> str:
        return EXEC

    async def start(self, exec_id: str, request: ExecStartRequest) -> Echo | None:
        if self.fails:
            raise StartFailedError("exec: no such file", 127)
        return None if request.detach else Echo(greeting=b"hello")

    def inspect(self, exec_id: str) -> dict[str, Any]:
        return {"ID": exec_id, "Running": self.running, "ExitCode": 0}

    def tty(self, exec_id: str) -> bool:
        if exec_id != EXEC:
            raise NotFoundError(f"No such exec instance: {exec_id}")
        return False

    def of(self, id: str) -> list[str]:  # noqa: A002
        return []


def fake_service() -> Any:
    """A Service of these."""
    return SimpleNamespace(
        containers=FakeContainers(),
        streams=FakeStreams(),
        execs=FakeExecs(),
        events=EventBus(),
        images=SimpleNamespace(find_id=lambda name: "sha256:" + "b" * 64),
        experimental=False,
        settings=Settings(),
        info=lambda: {"Containers": 1},
    )
