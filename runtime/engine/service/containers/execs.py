"""Programs started in running containers, beside the containers' own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import signal
from collections.abc import Coroutine, Iterable, Sequence
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
from runtime.engine.service.containers.exec_model import ExecEntry, ExecRequest, ExecStartRequest, Probed
from runtime.engine.service.containers.program_errors import exec_failure
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import console_size
from runtime.engine.service.stdio.attachment import Attachment
from runtime.engine.service.stdio.fanout import OutputFanout
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
        self._execs: dict[str, ExecEntry] = {}
        self._tasks: set[asyncio.Task[Any]] = set()

    # ---- for clients --------------------------------------------------------------------------------------

    async def create(self, ref: str, request: ExecRequest) -> str:
        """Create an exec of a running container; return its id.

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
        """Start it, and return the attachment with its output and end, or None if detached.

        NotFoundError, ConflictError when it was started before, StartFailedError when it cannot be executed.
        """
        entry = self._find(exec_id)
        if entry.code is not None:
            raise ConflictError(f"exec command {exec_id} has already run")
        if entry.started:
            raise ConflictError(f"Error: Exec command {exec_id} is already running")
        record = self._core.table.get(entry.container)
        _require_running(record, record.id)
        entry.size = console_size(request.console_size) if request.console_size else entry.size
        attachment = None if request.detach else entry.attach()
        try:
            await self._launch(entry, record)
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
        entry = self._find(exec_id)
        if entry.code is not None:
            raise ConflictError(f"exec command {exec_id} has already run")
        entry.size = console_size((rows, columns))
        if entry.pid:
            await self._core.spawner.resize(entry.container, *entry.size, entry.id)

    def of(self, container_id: str) -> list[str]:
        """Return the ids of a container's execs that have not ended, for its inspect document's ExecIDs."""
        return [entry.id for entry in self._of(container_id) if entry.code is None]

    def _of(self, container_id: str) -> list[ExecEntry]:
        return [entry for entry in self._execs.values() if entry.container == container_id]

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
        entry = self._note(record, asked, b"")
        attachment = entry.attach()
        output = bytearray()
        try:
            await self._launch(entry, record)
            async with asyncio.timeout(timeout_s):
                async for _, data in attachment:
                    output += data[: most - len(output)]
                code = await asyncio.shield(entry.ended)
        except TimeoutError:
            code = -1
            with contextlib.suppress(EngineError):
                await self._core.spawner.signal(record.id, signal.SIGKILL, entry.id)
        finally:
            await attachment.close()
            if entry.code is not None or not entry.pid:
                self._execs.pop(entry.id, None)
        return Probed(code, output.decode("utf-8", "replace"))

    # ---- for the lifecycle --------------------------------------------------------------------------------

    def ended(self, exited: Exited) -> None:
        """Handle the exit of an exec (exec_id is not ""). To be called from on_exit."""
        entry = self._execs.get(exited.exec_id)
        if entry is None:
            self._in_background(self._release(exited.id, exited.exec_id))
        elif entry.started and not entry.pid:  # it was quicker than the answer to its start
            entry.early = exited
        else:
            self._in_background(self._end(entry, exited.code))

    def adopt(self, running: Running) -> None:
        """Take over an exec that an earlier daemon started: its output is dropped, its exit awaited."""
        if running.exited is not None:
            self.ended(running.exited)
            return
        asked = ExecRequest(tty=running.tty, attach_stdin=running.stdin)
        entry = self._add(running.exec_id, running.id, asked, b"")
        entry.started, entry.pid = True, running.pid
        self._in_background(self._take_up(entry))

    def lost(self) -> None:
        """Handle the loss of the spawner: all execs have ended."""
        for entry in self._execs.values():
            if entry.running and entry.pid:
                self._in_background(self._end(entry, 128 + signal.SIGKILL))

    def drop_unstarted(self, container_id: str) -> None:
        """Forget execs that were not started, as the container's run is over."""
        self._drop(entry for entry in self._of(container_id) if not entry.started)

    def forget(self, container_id: str) -> None:
        """Forget the execs of a removed container."""
        self._drop(self._of(container_id))

    def _drop(self, entries: Iterable[ExecEntry]) -> None:
        for entry in entries:
            entry.fanout.close()
            del self._execs[entry.id]

    def close(self) -> None:
        """Release everything: the daemon ends, and the programs may run on."""
        for entry in self._execs.values():
            entry.fanout.close()
        self._execs.clear()
        for task in self._tasks:
            task.cancel()

    # ---- how it is done -----------------------------------------------------------------------------------

    def _find(self, exec_id: str) -> ExecEntry:
        try:
            return self._execs[exec_id]
        except KeyError:
            raise NotFoundError(f"No such exec instance: {exec_id}") from None

    def _note(self, record: ContainerRecord, request: ExecRequest, keys: bytes) -> ExecEntry:
        entry = self._add(secrets.token_hex(32), record.id, request, keys)
        self._publish(entry, f"exec_create: {entry.command}")
        return entry

    def _add(self, exec_id: str, container: str, request: ExecRequest, keys: bytes) -> ExecEntry:
        ended = [entry.id for entry in self._of(container) if entry.code is not None]
        for old in ended[: max(0, len(ended) - _KEPT)]:
            del self._execs[old]
        fanout = OutputFanout(
            tty=request.tty,
            stdin=request.attach_stdin,
            closes_stdin=True,
            close_stdin=partial(self._close_stdin, container, exec_id),
            on_detach=partial(self._detached, exec_id),
        )
        entry = self._execs[exec_id] = ExecEntry(exec_id, container, request, fanout, keys)
        return entry

    async def _launch(self, entry: ExecEntry, record: ContainerRecord) -> None:
        """Start it, and complete that even when the client disconnects. Raises EngineError."""
        entry.started = True
        self._publish(entry, f"exec_start: {entry.command}")
        await asyncio.shield(self._in_background(self._begin(entry, record)))

    async def _begin(self, entry: ExecEntry, record: ContainerRecord) -> None:
        try:
            request = entry.request(record, self._layers(record.id), self._variables(record))
            started, fds = await self._core.spawner.exec(request)
        except BaseException as error:
            entry.code = error.exit_code if isinstance(error, StartFailedError) else 126
            await entry.fanout.finish()
            if isinstance(error, EngineError):
                raise exec_failure(entry.argv[0], error) from error
            raise
        entry.pid = started.pid
        entry.fanout.start(fds)
        if entry.early is not None:
            self._in_background(self._end(entry, entry.early.code))

    def _variables(self, record: ContainerRecord) -> dict[str, str]:
        if not record.host_config.links:
            return {}
        return self._networks.link_variables(record, needed=False)

    def _layers(self, container_id: str) -> list[str]:
        table = self._core.table
        return [
            *map(str, table.layers(table.get(container_id))),
            str(table.directory(container_id) / "layer" / "u"),
        ]

    async def _take_up(self, entry: ExecEntry) -> None:
        try:
            entry.fanout.start(await self._core.spawner.streams(entry.container, entry.id))
        except EngineError as error:
            log.warning("take up exec %s of container %s: %s", entry.id, entry.container, error)

    async def _end(self, entry: ExecEntry, code: int) -> None:
        if entry.code is not None:
            return
        entry.code = code
        self._publish(entry, "exec_die", {"exitCode": str(code)})
        await entry.fanout.finish()
        if not entry.ended.done():
            entry.ended.set_result(code)
        await self._release(entry.container, entry.id)

    async def _release(self, container_id: str, exec_id: str) -> None:
        with contextlib.suppress(EngineError):
            await self._core.spawner.release(container_id, exec_id)

    async def _close_stdin(self, container_id: str, exec_id: str) -> None:
        with contextlib.suppress(EngineError):
            await self._core.spawner.close_stdin(container_id, exec_id)

    def _detached(self, exec_id: str) -> None:
        entry = self._execs.get(exec_id)
        if entry is not None:
            self._publish(entry, "exec_detach")

    def _publish(self, entry: ExecEntry, action: str, more: dict[str, str] | None = None) -> None:
        with contextlib.suppress(NotFoundError):  # its container may be gone
            record = self._core.table.get(entry.container)
            self._core.table.publish(record, action, {"execID": entry.id, **(more or {})})

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
