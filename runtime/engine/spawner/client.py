"""The spawner as the API's process sees it: asyncio calls over ROOT/spawner.sock, descriptors beside them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runtime.engine.config import ContainerConfig
from runtime.engine.spawner.protocol import (
    MAIN,
    Endpoint,
    Exec,
    Exited,
    Link,
    NetworkSpec,
    Running,
    Start,
    Started,
    Usage,
)
from runtime.spawn.cgroups import Limits


class Spawner:
    """Made by open(). All methods raise EngineError or the subclass that the failure was in the spawner.

    running: what the spawner held when this process connected, ended ones that nobody has released included
    (`exited` is set). on_exit: called in the loop, once for each program that ends (set it before the first
    await after open(): nothing is read before). on_lost: called in the loop when the spawner is gone; all its
    containers are then dead, or will be when the next one sweeps. pid: the spawner's.
    """

    running: tuple[Running, ...]
    on_exit: Callable[[Exited], None]
    on_lost: Callable[[], None]
    pid: int

    @classmethod
    async def open(cls, root: Path) -> Spawner:
        """Connect to the living spawner of `root`, or start one. Raises UnavailableError when neither works."""
        raise NotImplementedError

    async def start(self, request: Start) -> tuple[Started, list[int]]:
        """Start a container; return the answer and the caller's descriptors of its stdio.

        Descriptors: the terminal's with tty; else stdin (when asked for), stdout, stderr, in this order.
        Nothing is left behind by a failure. StartFailedError says 126 or 127 by `exit_code`.
        """
        raise NotImplementedError

    async def exec(self, request: Exec) -> tuple[Started, list[int]]:
        """Start a program in a running container; descriptors as with start()."""
        raise NotImplementedError

    async def signal(self, id: str, number: int, exec_id: str = MAIN) -> None:  # noqa: A002
        """Send a signal; nothing happens to a program that has ended. NotFoundError: no such program here."""
        raise NotImplementedError

    async def pause(self, id: str) -> None:  # noqa: A002
        """Freeze all processes of a container."""
        raise NotImplementedError

    async def unpause(self, id: str) -> None:  # noqa: A002
        """Let them go on."""
        raise NotImplementedError

    async def release(self, id: str, exec_id: str = MAIN) -> None:  # noqa: A002
        """Free what an ended container (or exec) still holds; the writable layer stays in its home.

        Acknowledges the exit: it is not told again. Kills what is left in its cgroup. Unknown ids are fine.
        """
        raise NotImplementedError

    async def close_stdin(self, id: str, exec_id: str = MAIN) -> None:  # noqa: A002
        """Close the spawner's copy of a program's stdin; it reads its end once the caller's is closed too."""
        raise NotImplementedError

    async def kill_all(self, id: str) -> None:  # noqa: A002
        """SIGKILL everything in a container's cgroup."""
        raise NotImplementedError

    async def usage(self, id: str) -> Usage:  # noqa: A002
        """Return what a container uses now."""
        raise NotImplementedError

    async def pids(self, id: str) -> tuple[int, ...]:  # noqa: A002
        """Return the pids (on the host) of all processes of a container, execs included."""
        raise NotImplementedError

    async def streams(self, id: str, exec_id: str = MAIN) -> list[int]:  # noqa: A002
        """Return fresh duplicates of the descriptors that start() or exec() gave."""
        raise NotImplementedError

    async def resize(self, id: str, rows: int, columns: int, exec_id: str = MAIN) -> None:  # noqa: A002
        """Set the size of a terminal. ConflictError: it has none."""
        raise NotImplementedError

    async def update(self, id: str, limits: Limits) -> None:  # noqa: A002
        """Set the limits of a running container that are not None."""
        raise NotImplementedError

    async def link(self, request: Link) -> Endpoint:
        """Attach a running container to one more network, or take it off; return the endpoint as made."""
        raise NotImplementedError

    async def network_up(self, spec: NetworkSpec) -> None:
        """Make the network's bridge and rules, if they are not there."""
        raise NotImplementedError

    async def network_down(self, id: str) -> None:  # noqa: A002
        """Remove the network's bridge and rules. Unknown ids are fine."""
        raise NotImplementedError

    async def warm(self, config: ContainerConfig) -> None:
        """Fill the pools for starts of containers like this one; layers resolved as in Start."""
        raise NotImplementedError

    async def close(self, *, kill: bool) -> None:
        """Disconnect. With kill the spawner ends all containers, frees all it made on the host, and ends."""
        raise NotImplementedError
