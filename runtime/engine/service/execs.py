"""Programs started beside a container's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from runtime.engine.service.attachment import Attachment
from runtime.engine.service.record import ContainerRecord
from runtime.engine.service.request import Body
from runtime.engine.spawner.protocol import Exited, Running

if TYPE_CHECKING:
    from runtime.engine.service.service import Service


class ExecRequest(Body):
    """Body of `POST /containers/{id}/exec`."""

    attach_stdin: bool = False
    attach_stdout: bool = False
    attach_stderr: bool = False
    detach_keys: str = ""
    tty: bool = False
    cmd: list[str] | None = None
    env: list[str] | None = None
    user: str = ""
    privileged: bool = False
    working_dir: str = ""
    console_size: list[int] | None = None


class ExecStartRequest(Body):
    """Body of `POST /exec/{id}/start`. tty is not used: the exec was made with or without one."""

    detach: bool = False
    tty: bool = False
    console_size: list[int] | None = None


class Probed(NamedTuple):
    """How a probe ended: its exit status (-1: it took too long and was killed), output cut to a limit."""

    code: int
    output: str


class Execs:
    """All execs of a daemon, known as long as their container. Used in the loop only."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def create(self, ref: str, request: ExecRequest) -> str:
        """Note an exec of a running container; return its id. ConflictError when it is not running or paused."""
        raise NotImplementedError

    async def start(self, exec_id: str, request: ExecStartRequest) -> Attachment | None:
        """Start it, attached (then its output and end are in the attachment) or, detached, None.

        NotFoundError, ConflictError when it was started before, StartFailedError when it cannot be executed.
        """
        raise NotImplementedError

    def inspect(self, exec_id: str) -> dict[str, Any]:
        """Return Docker's document of an exec. Its exit code is there before its attachment ends."""
        raise NotImplementedError

    def tty(self, exec_id: str) -> bool:
        """Say whether its output is one raw stream. NotFoundError."""
        raise NotImplementedError

    async def resize(self, exec_id: str, rows: int, columns: int) -> None:
        """Set the size of its terminal."""
        raise NotImplementedError

    def of(self, id: str) -> list[str]:  # noqa: A002
        """Return the ids of a container's execs that run, for its inspect document's ExecIDs."""
        raise NotImplementedError

    async def probe(
        self,
        record: ContainerRecord,
        argv: Sequence[str],
        *,
        timeout_s: float,
        most: int = 4096,
    ) -> Probed:
        """Run a program in a container to its end, as health checks do; kill it when it takes too long."""
        raise NotImplementedError

    # ---- for the lifecycle ----------------------------------------------------------------------------------

    def ended(self, exited: Exited) -> None:
        """The spawner tells that an exec (exec_id is not "") has ended. Call it from on_exit."""
        raise NotImplementedError

    def adopt(self, running: Running) -> None:
        """An exec goes on that an earlier daemon started: its output is read and dropped, its exit awaited."""
        raise NotImplementedError

    def forget(self, id: str) -> None:  # noqa: A002
        """A container is removed, and its execs with it."""
        raise NotImplementedError
