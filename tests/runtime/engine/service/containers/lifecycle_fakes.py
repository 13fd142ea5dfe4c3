"""The other rooms as the lifecycle sees them, in memory: what they are told is kept."""

# ruff: noqa: A002 - the rooms' own signatures

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from runtime.engine.errors import NotFoundError
from runtime.engine.service.containers.containers import Containers
from runtime.engine.service.containers.execs import Probed
from runtime.engine.service.host.events import EventBus
from runtime.engine.service.model.request import CreateRequest, HostConfig
from runtime.engine.service.records.table import ContainerTable
from runtime.engine.service.service import Service
from runtime.engine.spawner.protocol import MAIN, Exited, Running, Start, Started
from runtime.image.documents import Execution, ImageConfig
from runtime.image.errors import ImageNotFoundError
from runtime.image.store.image import Image
from runtime.image.store.listing import ImageRow

IMAGE_ID = "sha256:" + "1" * 64


class FakeSpawner:
    """Programs that live until they are signalled; `deaf` ones only mind SIGKILL."""

    def __init__(self) -> None:
        self.running: tuple[Running, ...] = ()
        self.on_exit: Callable[[Exited], None] = lambda exited: None
        self.on_lost: Callable[[], None] = lambda: None
        self.held: dict[str, Start] = {}
        self.calls: list[tuple[Any, ...]] = []
        self.deaf: set[str] = set()
        self.error: Exception | None = None
        self.clock = 1_700_000_000_000_000_000

    async def start(self, request: Start) -> tuple[Started, list[int]]:
        self.calls.append(("start", request.id))
        if self.error is not None:
            raise self.error
        assert request.id not in self.held, "started twice without a release"
        self.held[request.id] = request
        return Started(pid=4242, started_ns=1, ports=request.ports), []

    async def signal(self, id: str, number: int, exec_id: str = MAIN) -> None:
        self.calls.append(("signal", id, number))
        if id not in self.held:
            raise NotFoundError(f"No such program: {id}")
        if number == 9 or id not in self.deaf:
            self.end(id, 128 + number)

    def end(self, id: str, code: int = 0, *, oom_killed: bool = False) -> None:
        """Let a program end."""
        self.clock += 1
        exited = Exited(id=id, exec_id=MAIN, code=code, oom_killed=oom_killed, finished_ns=self.clock)
        asyncio.get_running_loop().call_soon(self.on_exit, exited)

    async def release(self, id: str, exec_id: str = MAIN) -> None:
        self.calls.append(("release", id, exec_id))
        if exec_id == MAIN:
            self.held.pop(id, None)

    async def kill_all(self, id: str) -> None:
        self.calls.append(("kill_all", id))

    async def pause(self, id: str) -> None:
        self.calls.append(("pause", id))

    async def unpause(self, id: str) -> None:
        self.calls.append(("unpause", id))

    async def update(self, id: str, limits: Any) -> None:
        self.calls.append(("update", id, limits))

    async def resize(self, id: str, rows: int, columns: int, exec_id: str = MAIN) -> None:
        self.calls.append(("resize", id, rows, columns))

    async def streams(self, id: str, exec_id: str = MAIN) -> list[int]:
        return []

    async def close(self, *, kill: bool) -> None:
        self.calls.append(("close", kill))


class FakeStreams:
    """Streams that are always drained."""

    def __init__(self) -> None:
        self.adopted: list[str] = []
        self.discarded: list[str] = []

    def adopt(self, id: str, fds: list[int]) -> None:
        self.adopted.append(id)

    async def drained(self, id: str) -> None:
        await asyncio.sleep(0)

    async def discard(self, id: str) -> None:
        self.discarded.append(id)


class FakeExecs:
    """Probes that say what `results` holds, the last one for ever."""

    def __init__(self) -> None:
        self.results: list[Probed] = [Probed(0, "")]
        self.probes = 0
        self.adopted: list[Running] = []
        self.heard: list[Exited] = []
        self.forgotten: list[str] = []
        self.over: list[str] = []

    async def probe(self, record: Any, argv: Sequence[str], *, timeout_s: float, most: int) -> Probed:
        self.probes += 1
        return self.results[min(self.probes, len(self.results)) - 1]

    def ended(self, exited: Exited) -> None:
        self.heard.append(exited)

    def lost(self) -> None:
        """Nothing of it is tested here."""

    def adopt(self, running: Running) -> None:
        self.adopted.append(running)

    def drop_unstarted(self, id: str) -> None:
        self.over.append(id)

    def forget(self, id: str) -> None:
        self.forgotten.append(id)


class FakeNetworks:
    """One network for all."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.error: Exception | None = None

    async def check(self, record: Any) -> Any:
        if self.error is not None:
            raise self.error
        return record.networks

    async def endpoints_for(self, record: Any) -> Any:
        self.calls.append(("endpoints", record.id))
        return (), (), record.networks

    async def started(self, record: Any) -> None:
        self.calls.append(("started", record.id))

    async def release(self, record: Any) -> None:
        self.calls.append(("release", record.id))

    def renamed(self, record: Any) -> None:
        self.calls.append(("renamed", record.id))

    def files_for(self, record: Any) -> dict[str, bytes]:
        return {"hosts": b"127.0.0.1\tlocalhost\n", "resolv.conf": b""}


class FakeVolumes:
    """Volumes as names."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.made: dict[str, dict[str, Any]] = {}
        self.mounted: list[str] = []
        self.populated: list[tuple[str, str]] = []

    def ensure(self, name: str, **asked: Any) -> bool:
        new = name not in self.made
        self.made.setdefault(name, asked)
        return new

    def mountpoint(self, name: str) -> Path:
        return self.root / name / "_data"

    def mount(self, name: str) -> Path:
        self.mounted.append(name)
        return self.mountpoint(name)

    def unmount(self, name: str) -> None:
        self.mounted.remove(name)

    def populate(self, name: str, layers: Sequence[Path], path: str, part: str = "") -> None:
        self.populated.append((name, path))

    def remove(self, name: str) -> None:
        del self.made[name]


class FakeImages:
    """One image, `busybox`."""

    def __init__(self) -> None:
        self.execution = Execution(cmd=["sh"], env=["PATH=/bin"])
        self.looked_up = 0

    def find_id(self, reference: str) -> str:
        if reference not in ("busybox", "busybox:latest", IMAGE_ID):
            raise ImageNotFoundError(f"No such image: {reference}")
        return IMAGE_ID

    def require(self, image_id: str, *, patience_s: float = 60.0) -> None:
        self.find_id(image_id)

    def resolve(self, reference: str) -> Any:
        self.looked_up += 1
        image_id, execution = self.find_id(reference), self.execution

        class Found:
            id = image_id
            layer_dirs = ()
            config = ImageConfig(architecture="arm64", os="linux")

        Found.execution = execution
        return Found()

    def list(self) -> list[Image]:
        return []

    def summaries(self, *, intermediate: bool = False) -> list[ImageRow]:
        return []


def make_service(root: Path) -> Service:
    """A Service of fakes, not opened yet."""
    service: Any = Service()
    service.root = root
    service.events = EventBus()
    service.images, service.volumes = FakeImages(), FakeVolumes(root / "volumes")
    service.spawner, service.networks = FakeSpawner(), FakeNetworks()
    service.streams, service.execs = FakeStreams(), FakeExecs()
    service.table = ContainerTable(root, service.events, service.images)
    service.containers = Containers(service)
    return service


async def open_service(root: Path) -> Any:
    """The same, opened."""
    service = make_service(root)
    await service.containers.open()
    return service


def reopened(service: Any) -> Any:
    """What the next daemon finds after this one's kill: the disk and the spawner, nothing else."""
    found: Any = make_service(service.root)
    spawner = service.spawner
    spawner.on_exit = lambda exited: None
    spawner.running = tuple(
        Running(id=one, exec_id=MAIN, pid=4242, tty=False, stdin=False) for one in spawner.held
    )
    found.spawner, found.volumes = spawner, service.volumes
    return found


def request(**fields: Any) -> CreateRequest:
    """A request; what is no field of Config goes to its HostConfig."""
    own = {name: fields.pop(name) for name in list(fields) if name in CreateRequest.__struct_fields__}
    own.setdefault("image", "busybox")
    return CreateRequest(host_config=HostConfig(**fields), **own)


async def create(service: Any, name: str | None = None, **fields: Any) -> str:
    """Make a container."""
    made, _ = await service.containers.create(name, request(**fields))
    return made


async def settle(condition: Callable[[], bool]) -> None:
    """Give the loop turns until `condition` holds."""
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.001)


def told(service: Any, kind: str = "container") -> list[str]:
    """The actions of the events so far."""
    return [event.action for event in service.events._kept if event.type == kind]
