"""The stdio of all containers: read once, logged, and handed to attached clients."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from runtime.docker_syntax import MalformedError, log_options
from runtime.docker_syntax.detach_keys import parse as parse_keys
from runtime.docker_syntax.frames import STDERR, STDOUT
from runtime.engine.errors import ConflictError, EngineError, UnavailableError, refusing
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.stdio.attachment import Attachment
from runtime.engine.service.stdio.fanout import OutputFanout
from runtime.engine.service.stdio.json_log import JsonLog
from runtime.engine.service.stdio.log_attributes import attributes, shown
from runtime.engine.service.stdio.log_reader import LogQuery, read_log

if TYPE_CHECKING:
    from runtime.engine.service.core import Core

LOG = "log.json"

logger = logging.getLogger(__name__)


class _Channel:
    """The streams of one container."""

    __slots__ = ("fanout", "log")

    def __init__(self, fanout: OutputFanout, log: JsonLog | None) -> None:
        self.fanout, self.log = fanout, log


class Streams:
    """The stdio of the containers' own programs, and their logs.

    Used in the loop only. A container has streams before it is started and after it has ended, too: a client
    that attaches then gets all of the next run. Descriptors given to adopt() belong to this object.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self._channels: dict[str, _Channel] = {}

    def adopt(self, container_id: str, fds: list[int]) -> None:
        """Take the descriptors of a container that was just started, or recovered.

        (stdin, stdout, stderr), (stdout, stderr), or one terminal.
        """
        channel = self._channel(self._core.table.get(container_id))
        if channel.log is not None:
            channel.log.running = True
        channel.fanout.start(fds)

    async def drained(self, container_id: str) -> None:
        """Wait until all output of an ended container is read, logged and forwarded; end attachments.

        A process outside that keeps the descriptors open is given two seconds. Also to be called for a
        container that could not be started, to end its attachments.
        """
        channel = self._channels.get(container_id)
        if channel is not None:
            await channel.fanout.finish()
            if channel.log is not None:
                channel.log.close()

    async def discard(self, container_id: str) -> None:
        """End followers of a removed container's log, and attachments that still wait for a start."""
        channel = self._channels.pop(container_id, None)
        if channel is not None:
            channel.fanout.close()
            if channel.log is not None:
                channel.log.flush()
                channel.log.close()

    def close(self) -> None:
        """Release everything: the daemon ends, and the containers may run on."""
        for channel in self._channels.values():
            channel.fanout.close()
            if channel.log is not None:
                channel.log.leave()
        self._channels.clear()

    def attach(
        self,
        container_id: str,
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        logs: bool = False,
        stream: bool = True,
        detach_keys: str = "",
    ) -> Attachment:
        """Attach to a container, running or not; all that it writes from now on is included.

        logs: its log first. stream False: the log only. Keys count with a terminal and stdin only. Raises
        NotFoundError, BadParameterError for keys of no known form, ConflictError while it is paused.
        """
        record = self._core.table.get(container_id)
        with refusing():
            keys = parse_keys(detach_keys)
        _require_attachable(record)
        channel = self._channel(record)
        wanted = chosen(stdout=stdout, stderr=stderr)
        earlier = None
        if logs and channel.log is not None:
            earlier = read_log(channel.log, LogQuery(streams=wanted), channel.log.end())
        attachment = channel.fanout.attach(stdin=stdin and stream, streams=wanted, keys=keys, earlier=earlier)
        if not stream:
            channel.fanout.detach(attachment, keys=False)
            attachment.end()
        self._core.table.publish(record, "attach")
        return attachment

    def logs(
        self, container_id: str, query: LogQuery, *, details: bool = False
    ) -> AsyncIterator[tuple[int, bytes]]:
        """Return its log as (1 for stdout or 2 for stderr, text). Close the iterator (aclosing) in the end.

        text is whole entries, lines mostly, as many as follow each other. details: with the labels and
        variables that its log options choose. Following ends with the container's run. Raises at once, not at
        the first item: NotFoundError, UnavailableError for a container that keeps no log.
        """
        record = self._core.table.get(container_id)
        log = self._channel(record).log
        if log is None:
            raise UnavailableError("configured logging driver does not support reading")
        if details:
            query = msgspec.structs.replace(query, details=shown(attributes(record)))
        return read_log(log, query, None if query.follow else log.end())

    def _channel(self, record: ContainerRecord) -> _Channel:
        channel = self._channels.get(record.id)
        if channel is None:
            channel = self._channels[record.id] = self._make(record)
        return channel

    def _make(self, record: ContainerRecord) -> _Channel:
        path = self._core.table.directory(record.id) / LOG
        log = _log_of(record, path)
        if log is not None:
            try:
                log.recover()
            except OSError as error:
                message = "take up log %s: %s; what was written just before the last daemon's end is missing"
                logger.warning(message, path, error.strerror)
        config = record.config
        fanout = OutputFanout(
            tty=config.tty,
            stdin=config.open_stdin,
            closes_stdin=config.stdin_once,
            close_stdin=partial(self._close_stdin, record.id),
            sink=log,
            on_detach=partial(self._detached, record.id),
        )
        return _Channel(fanout, log)

    async def _close_stdin(self, container_id: str) -> None:
        with contextlib.suppress(EngineError):  # it may have ended
            await self._core.spawner.close_stdin(container_id)

    def _detached(self, container_id: str) -> None:
        with contextlib.suppress(EngineError):
            self._core.table.publish(self._core.table.get(container_id), "detach")


def _log_of(record: ContainerRecord, path: Path) -> JsonLog | None:
    """Return its log, None for none. Invalid options, which older versions accepted, are left out."""
    config = record.host_config.log_config
    try:
        options = log_options.parse(config.type, config.config or {})
    except MalformedError as error:
        logger.warning("log of container %s: %s; it is written without options", record.name, error)
        return JsonLog(path, log_options.LogOptions())
    return JsonLog(path, options, attributes(record)) if options is not None else None


def chosen(*, stdout: bool, stderr: bool) -> frozenset[int]:
    """Return the numbers of the streams that a client asks for."""
    return frozenset(([STDOUT] if stdout else []) + ([STDERR] if stderr else []))


def _require_attachable(record: ContainerRecord) -> None:
    name, status = record.name, record.state.status
    if status == "paused":
        raise ConflictError(f"container {name} is paused, unpause the container before attach")
    if status == "restarting":
        raise ConflictError(f"container {name} is restarting, wait until the container is running")
