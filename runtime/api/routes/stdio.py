"""`/containers/{id}/attach`, `logs` and `resize`: a container's standard streams and terminal."""

from __future__ import annotations

import asyncio
import io
import time
from collections.abc import AsyncIterator
from contextlib import aclosing

import msgspec
from aiohttp import web

from runtime.api.http.hijack import Taken, take_over
from runtime.api.http.pumping import alongside, pump
from runtime.api.http.routing import Call, Raw, route
from runtime.api.http.streaming import send_stream
from runtime.docker_syntax.frames import frame
from runtime.docker_syntax.times import moment_ns, ns_of
from runtime.engine.errors import BadParameterError
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import Cells, Query
from runtime.engine.service.service import Service
from runtime.engine.service.stdio.attachment import Attachment
from runtime.engine.service.stdio.log_reader import LogQuery
from runtime.engine.service.stdio.streams import chosen

_YOUNG_NS = 200_000_000
_MOMENT_S = 0.05

RAW = "application/vnd.docker.raw-stream"
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"


def media_of(tty: bool, version: tuple[int, int]) -> str:
    """Return the content type of a program's output; before 1.42 there was one for both kinds."""
    return RAW if tty or version < (1, 42) else MULTIPLEXED


class AttachQuery(Query):
    """logs: send the log first. stream: send new output. detachKeys: such as `ctrl-p,ctrl-q`."""

    detach_keys: str = msgspec.field(default="", name="detachKeys")
    logs: bool = False
    stream: bool = False
    stdin: bool = False
    stdout: bool = False
    stderr: bool = False


def _attach(call: Call[AttachQuery, None]) -> tuple[ContainerRecord, Attachment]:
    record = call.service.containers.get(call.path["id"])
    query = call.query
    attachment = call.service.streams.attach(
        record.id,
        stdin=query.stdin and query.stream,
        stdout=query.stdout,
        stderr=query.stderr,
        logs=query.logs,
        stream=query.stream,
        detach_keys=query.detach_keys,
    )
    return record, attachment


@route(
    "POST", "/containers/{id:.*}/attach", query=AttachQuery, answer=Raw, media=RAW, also=(101, 400, 404, 409)
)
async def attach(call: Call[AttachQuery, None]) -> web.StreamResponse:
    """Attach to a container: its output is sent in frames of 8 bytes and data, or raw with a terminal."""
    record, attachment = _attach(call)
    try:
        client = await take_over(call.request, media_of(record.config.tty, call.version))
    except BaseException:
        await attachment.close()
        raise
    await pump(client, attachment, stdin=call.query.stdin, raw=record.config.tty)
    return Taken(client)


@route("GET", "/containers/{id:.*}/attach/ws", query=AttachQuery, answer=Raw, also=(101, 400, 404, 409))
async def attach_websocket(call: Call[AttachQuery, None]) -> web.StreamResponse:
    """Attach to a container through a websocket; output is raw, in binary messages."""
    _, attachment = _attach(call)
    socket = web.WebSocketResponse()
    try:
        await socket.prepare(call.request)
        async with alongside(_typed(socket, attachment)):
            async for _, data in attachment:
                await socket.send_bytes(data)
        await socket.close()
    finally:
        await attachment.close()
    return socket


async def _typed(socket: web.WebSocketResponse, attachment: Attachment) -> None:
    async for message in socket:
        data = message.data
        await attachment.write(data.encode() if isinstance(data, str) else data)
    await attachment.close_stdin()


class LogsQuery(Query):
    """since, until: Unix seconds or RFC 3339. tail: lines, or `all`. details: add attributes."""

    follow: bool = False
    stdout: bool = False
    stderr: bool = False
    since: str = ""
    until: str = ""
    timestamps: bool = False
    tail: str = "all"
    details: bool = False


@route(
    "GET", "/containers/{id:.*}/logs", query=LogsQuery, answer=Raw, media=MULTIPLEXED, also=(400, 404, 501)
)
async def logs(call: Call[LogsQuery, None]) -> web.StreamResponse:
    """Return a container's log, and with `follow` go on as it is written."""
    query = call.query
    if not (query.stdout or query.stderr):
        raise BadParameterError("Bad parameters: you must choose at least one stream")
    record = call.service.containers.get(call.path["id"])
    if not query.follow:
        await _first_words(call.service, record)
    wanted = LogQuery(
        streams=chosen(stdout=query.stdout, stderr=query.stderr),
        follow=query.follow,
        since_ns=moment("since", query.since),
        until_ns=moment("until", query.until),
        tail=int(query.tail) if query.tail.isdecimal() else -1,
        timestamps=query.timestamps,
    )
    pieces = call.service.streams.logs(record.id, wanted, details=query.details)
    media = media_of(record.config.tty, call.version)
    return await send_stream(call.request, _framed(pieces, record.config.tty), media)


async def _first_words(service: Service, record: ContainerRecord) -> None:
    """Give a program that was started a moment ago time to end.

    Scripts start a short program and read its log at once. With dockerd, which answers a start more slowly,
    they mostly find all of it.
    """
    state = record.state
    if state.running and time.time_ns() - ns_of(state.started_at) < _YOUNG_NS:
        ended = service.containers.subscribe_wait(record.id)
        await asyncio.wait((ended,), timeout=_MOMENT_S)
        ended.cancel()


async def _framed(pieces: AsyncIterator[tuple[int, bytes]], tty: bool) -> AsyncIterator[bytes]:
    async with aclosing(pieces):  # type: ignore[type-var]
        async for stream, text in pieces:
            lines = [text] if tty else [frame(stream, line) for line in io.BytesIO(text)]
            yield b"".join(lines)  # one frame per line, as in docker: clients iterate over frames


def moment(name: str, text: str) -> int:
    """Return ns since 1970 of a parameter, 0 for none. Raises BadParameterError."""
    if not text:
        return 0
    try:
        return moment_ns(text)
    except ValueError as error:
        raise BadParameterError(f"invalid value for {name!r}: {error}") from error


class ResizeQuery(Query):
    """Rows and columns."""

    h: Cells = 0
    w: Cells = 0


@route("POST", "/containers/{id:.*}/resize", query=ResizeQuery, also=(400, 404, 409))
async def resize(call: Call[ResizeQuery, None]) -> None:
    """Set the size of a container's terminal."""
    await call.service.containers.resize(call.path["id"], call.query.h, call.query.w)
