"""What the lifecycle of containers asks of the other rooms, as protocols: fakes have the same form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from runtime.engine.service.record import ContainerRecord
from runtime.engine.service.request import EndpointSettings
from runtime.engine.spawner.protocol import Endpoint, Exec, Exited, Running, Start, Started, Usage
from runtime.network.model import Port
from runtime.spawn.cgroups import Limits


class SpawnerPart(Protocol):
    """The other process. Callbacks run in the loop; failures raise the matching EngineError."""

    running: tuple[Running, ...]
    on_exit: Callable[[Exited], None]
    on_lost: Callable[[], None]

    async def start(self, request: Start) -> tuple[Started, list[int]]:
        """Start a container; descriptors are (stdin, stdout, stderr), (stdout, stderr), or one terminal."""
        ...

    async def exec(self, request: Exec) -> tuple[Started, list[int]]:
        """Start a program in a running container."""
        ...

    async def signal(self, id: str, number: int, exec_id: str = "") -> None:  # noqa: A002
        """Signal a program."""
        ...

    async def pause(self, id: str) -> None:  # noqa: A002
        """Freeze a container."""
        ...

    async def unpause(self, id: str) -> None:  # noqa: A002
        """Thaw a container."""
        ...

    async def release(self, id: str) -> None:  # noqa: A002
        """Free what an ended container held; acknowledges its exit."""
        ...

    async def kill_all(self, id: str) -> None:  # noqa: A002
        """Kill all processes of a container, its execs too."""
        ...

    async def streams(self, id: str, exec_id: str = "") -> list[int]:  # noqa: A002
        """Return the stdio descriptors once more."""
        ...

    async def resize(self, id: str, rows: int, columns: int, exec_id: str = "") -> None:  # noqa: A002
        """Set the size of a terminal."""
        ...

    async def update(self, id: str, limits: Limits) -> None:  # noqa: A002
        """Set limits of a running container."""
        ...

    async def usage(self, id: str) -> Usage:  # noqa: A002
        """Return what a container uses."""
        ...

    async def close(self, *, kill: bool) -> None:
        """Leave; with kill the spawner and all it holds end."""
        ...


class StreamsPart(Protocol):
    """Stdio of the containers' own programs, and their logs."""

    def adopt(self, id: str, fds: list[int]) -> None:  # noqa: A002
        """A container runs with these descriptors, from now or since before this process began.

        Its record says whether it has a terminal, stdin and which log it wants. The descriptors are yours.
        """
        ...

    async def drained(self, id: str) -> None:  # noqa: A002
        """Return when all output of an ended container is read, logged and handed out; ends attachments."""
        ...

    async def discard(self, id: str) -> None:  # noqa: A002
        """A container is removed: end followers of its log and attachments that still wait for a start."""
        ...


class NetworksPart(Protocol):
    """Networks, as far as a container's life touches them. All may raise EngineError."""

    async def check(self, record: ContainerRecord) -> dict[str, EndpointSettings]:
        """Refuse a record whose networks or addresses cannot be; return its networks by name, ids set."""
        ...

    async def endpoints_for(
        self, record: ContainerRecord
    ) -> tuple[tuple[Endpoint, ...], tuple[Port, ...], dict[str, EndpointSettings]]:
        """Take addresses for a start; bridges are up afterwards. Only for a network namespace of its own."""
        ...

    async def started(self, record: ContainerRecord) -> None:
        """It runs: names resolve from now. Also called for one adopted, whose addresses are in it."""
        ...

    async def release(self, record: ContainerRecord) -> None:
        """It has ended, or could not start: give its addresses and names free. Idempotent."""
        ...

    def renamed(self, record: ContainerRecord) -> None:
        """It has another name: names resolve to it by that one."""
        ...

    def files_for(self, record: ContainerRecord) -> dict[str, bytes]:
        """Return the contents of `hosts` and `resolv.conf`."""
        ...

    def link_variables(self, record: ContainerRecord, *, needed: bool = True) -> dict[str, str]:
        """Return the variables that tell its program of the containers it is linked to.

        needed: EngineError for one that does not run; else it is left away.
        """
        ...


class VolumesPart(Protocol):
    """Named volumes. Blocking: called in a thread."""

    def ensure(self, name: str, *, driver: str, options: dict[str, str], labels: dict[str, str]) -> bool:
        """Make the volume unless it exists; return whether it was made."""
        ...

    def mount(self, name: str) -> Path:
        """Return the directory on the host, mounted when the driver's options ask for one."""
        ...

    def unmount(self, name: str) -> None:
        """One user less."""
        ...

    def populate(self, name: str, layers: Sequence[Path], path: str, part: str = "") -> None:
        """Copy the image's content below `path` into the volume, or a part of it, when it is still empty."""
        ...

    def remove(self, name: str) -> None:
        """Remove a volume nobody uses."""
        ...


class ImagesPart(Protocol):
    """The image store. Blocking, but quick enough for resolve."""

    def resolve(self, reference: str) -> Any:
        """Return the image: `.id` (config digest), `.execution`, `.layer_dirs` (lowest first)."""
        ...
