"""Programs started beside a container's own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
from collections.abc import Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from runtime.docker_syntax import detach_keys
from runtime.engine.errors import (
    BadParameterError,
    ConflictError,
    EngineError,
    NotFoundError,
    StartFailedError,
    refusing,
)
from runtime.engine.service.containers.exec_model import ExecRequest, ExecStartRequest, Probed, Program
from runtime.engine.service.containers.start_errors import exec_failure
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import console_size
from runtime.engine.service.stdio.attachment import Attachment
from runtime.engine.service.stdio.fanout import Hub
from runtime.engine.spawner.protocol import Exited, Running

if TYPE_CHECKING:
    from runtime.engine.service.core import Core
    from runtime.engine.service.networks.networks import Networks

__all__ = ["ExecRequest", "ExecStartRequest", "Execs", "Probed"]

log = logging.getLogger(__name__)

_KEPT = 100
"""Ended execs of one container that can still be inspected."""


class Execs:
    """All execs of a daemon, known as long as their container. Used in the loop only."""

    def __init__(self, core: Core, networks: Networks) -> None:
        self._core, self._networks = core, networks
        self._execs: dict[str, Program] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    # ---- for clients --------------------------------------------------------------------------------------

    async def create(self, ref: str, request: ExecRequest) -> str:
        """Note an exec of a running container; return its id.

        ConflictError when the container does not run or is paused, BadParameterError without a command.
        """
        record = self._core.table.get(ref)
        _require_running(record, ref)
        if not request.cmd:
            raise BadParameterError("No exec command specified")
        with refusing():
            keys = detach_keys.parse(request.detach_keys)
        return self._note(record, request, keys).id

    async def start(self, exec_id: str, request: ExecStartRequest) -> Attachment | None:
        """Start it, attached (then its output and end are in the attachment) or, detached, None.

        NotFoundError, ConflictError when it was started before, StartFailedError when it cannot be executed.
        """
        one = self._find(exec_id)
        if one.code is not None:
            raise ConflictError(f"exec command {exec_id} has already run")
        if one.started:
            raise ConflictError(f"Error: Exec command {exec_id} is already running")
        record = self._core.table.get(one.container)
        _require_running(record, record.id)
        one.size = console_size(request.console_size) if request.console_size else one.size
        attachment = None if request.detach else one.attach()
        try:
            await self._launch(one, record)
        except BaseException:
            if attachment is not None:
                await attachment.close()
            raise
        return attachment

    def inspect(self, exec_id: str) -> dict[str, Any]:
        """Return Docker's document of an exec. Its exit code is there before its attachment ends."""
        return self._find(exec_id).document()

    def tty(self, exec_id: str) -> bool:
        """Say whether its output is one raw stream. NotFoundError."""
        return self._find(exec_id).asked.tty

    async def resize(self, exec_id: str, rows: int, columns: int) -> None:
        """Set the size of its terminal; before its start, the size it will have."""
        one = self._find(exec_id)
        if one.code is not None:
            raise ConflictError(f"exec command {exec_id} has already run")
        one.size = console_size((rows, columns))
        if one.pid:
            await self._core.spawner.resize(one.container, *one.size, one.id)

    def of(self, id: str) -> list[str]:  # noqa: A002
        """Return the ids of a container's execs that have not ended, for its inspect document's ExecIDs."""
        return [one.id for one in self._execs.values() if one.container == id and one.code is None]

    async def probe(
        self,
        record: ContainerRecord,
        argv: Sequence[str],
        *,
        timeout_s: float,
        most: int = 4096,
    ) -> Probed:
        """Run a program in a container to its end, as health checks do; kill it when it takes too long.

        EngineError when it cannot be started.
        """
        asked = ExecRequest(attach_stdout=True, attach_stderr=True, cmd=list(argv))
        one = self._note(record, asked, b"")
        attachment = one.attach()
        output = bytearray()
        try:
            await self._launch(one, record)
            async with asyncio.timeout(timeout_s):
                async for _, data in attachment:
                    output += data[: most - len(output)]
                code = await asyncio.shield(one.ended)
        except TimeoutError:
            code = -1
            with contextlib.suppress(EngineError):
                await self._core.spawner.signal(record.id, signal.SIGKILL, one.id)
        finally:
            await attachment.close()
            if one.code is not None or not one.pid:
                self._execs.pop(one.id, None)
        return Probed(code, output.decode("utf-8", "replace"))

    # ---- for the lifecycle --------------------------------------------------------------------------------

    def ended(self, exited: Exited) -> None:
        """The spawner tells that an exec (exec_id is not "") has ended. Call it from on_exit."""
        one = self._execs.get(exited.exec_id)
        if one is None:
            self._in_background(self._release(exited.id, exited.exec_id))
        elif one.started and not one.pid:  # it was quicker than the answer to its start
            one.early = exited
        else:
            self._in_background(self._end(one, exited.code))

    def adopt(self, running: Running) -> None:
        """An exec goes on that an earlier daemon started: its output is dropped, its exit awaited."""
        if running.exited is not None:
            self.ended(running.exited)
            return
        asked = ExecRequest(tty=running.tty, attach_stdin=running.stdin)
        one = self._add(running.exec_id, running.id, asked, b"")
        one.started, one.pid = True, running.pid
        self._in_background(self._take_up(one))

    def lost(self) -> None:
        """The spawner is gone, and all that ran with it."""
        for one in self._execs.values():
            if one.running and one.pid:
                self._in_background(self._end(one, 128 + signal.SIGKILL))

    def drop_unstarted(self, id: str) -> None:  # noqa: A002
        """A container's run is over: what was noted for it and not started must not begin in the next one."""
        for one in [one for one in self._execs.values() if one.container == id and not one.started]:
            one.hub.close()
            del self._execs[one.id]

    def forget(self, id: str) -> None:  # noqa: A002
        """A container is removed, and its execs with it."""
        for one in [one for one in self._execs.values() if one.container == id]:
            one.hub.close()
            del self._execs[one.id]

    def close(self) -> None:
        """The daemon ends, the programs may go on: let go of all."""
        for one in self._execs.values():
            one.hub.close()
        self._execs.clear()
        for task in self._tasks:
            task.cancel()

    # ---- how it is done -----------------------------------------------------------------------------------

    def _find(self, exec_id: str) -> Program:
        try:
            return self._execs[exec_id]
        except KeyError:
            raise NotFoundError(f"No such exec instance: {exec_id}") from None

    def _note(self, record: ContainerRecord, request: ExecRequest, keys: bytes) -> Program:
        one = self._add(secrets.token_hex(32), record.id, request, keys)
        self._publish(one, f"exec_create: {one.command}")
        return one

    def _add(self, exec_id: str, container: str, request: ExecRequest, keys: bytes) -> Program:
        over = [one.id for one in self._execs.values() if one.container == container and one.code is not None]
        for old in over[: max(0, len(over) - _KEPT)]:
            del self._execs[old]
        hub = Hub(
            tty=request.tty,
            stdin=request.attach_stdin,
            closes_stdin=True,
            close_stdin=partial(self._close_stdin, container, exec_id),
            on_detach=partial(self._detached, exec_id),
        )
        one = self._execs[exec_id] = Program(exec_id, container, request, hub, keys)
        return one

    async def _launch(self, one: Program, record: ContainerRecord) -> None:
        """Start it, to the end also when the client goes away meanwhile. Raises EngineError."""
        one.started = True
        self._publish(one, f"exec_start: {one.command}")
        await asyncio.shield(self._in_background(self._begin(one, record)))

    async def _begin(self, one: Program, record: ContainerRecord) -> None:
        try:
            request = one.request(record, self._layers(record.id), self._variables(record))
            started, fds = await self._core.spawner.exec(request)
        except BaseException as error:
            one.code = error.exit_code if isinstance(error, StartFailedError) else 126
            await one.hub.finish()
            if isinstance(error, EngineError):
                raise exec_failure(one.argv[0], error) from error
            raise
        one.pid = started.pid
        one.hub.start(fds)
        if one.early is not None:
            self._in_background(self._end(one, one.early.code))

    def _variables(self, record: ContainerRecord) -> dict[str, str]:
        if not record.host_config.links:
            return {}
        return self._networks.link_variables(record, needed=False)

    def _layers(self, id: str) -> list[str]:  # noqa: A002
        table = self._core.table
        return [*map(str, table.layers(table.get(id))), str(table.directory(id) / "layer" / "u")]

    async def _take_up(self, one: Program) -> None:
        try:
            one.hub.start(await self._core.spawner.streams(one.container, one.id))
        except EngineError as error:
            log.warning("take up exec %s of container %s: %s", one.id, one.container, error)

    async def _end(self, one: Program, code: int) -> None:
        if one.code is not None:
            return
        one.code = code
        self._publish(one, "exec_die", {"exitCode": str(code)})
        await one.hub.finish()
        if not one.ended.done():
            one.ended.set_result(code)
        await self._release(one.container, one.id)

    async def _release(self, id: str, exec_id: str) -> None:  # noqa: A002
        with contextlib.suppress(EngineError):
            await self._core.spawner.release(id, exec_id)

    async def _close_stdin(self, id: str, exec_id: str) -> None:  # noqa: A002
        with contextlib.suppress(EngineError):
            await self._core.spawner.close_stdin(id, exec_id)

    def _detached(self, exec_id: str) -> None:
        one = self._execs.get(exec_id)
        if one is not None:
            self._publish(one, "exec_detach")

    def _publish(self, one: Program, action: str, more: dict[str, str] | None = None) -> None:
        with contextlib.suppress(NotFoundError):  # its container may be gone
            record = self._core.table.get(one.container)
            self._core.table.publish(record, action, {"execID": one.id, **(more or {})})

    def _in_background(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def _require_running(record: ContainerRecord, ref: str) -> None:
    """Raise ConflictError, with the container as the client has called it, as docker does."""
    status = record.state.status
    if status == "paused":
        raise ConflictError(f"Container {ref} is paused, unpause the container before exec")
    if status == "restarting":
        raise ConflictError(f"Container {record.id} is restarting, wait until the container is running")
    if not record.state.running:
        raise ConflictError(f"container {record.id} is not running")
