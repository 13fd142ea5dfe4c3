"""`POST /nn/run`: a whole `nn run` in one exchange. runtime.cli.connection.run_exchange describes it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import msgspec
from aiohttp import web

from runtime.api.http.hijack import Hijacked, Taken, take_over
from runtime.api.http.platforms import check_name
from runtime.api.http.pumping import alongside
from runtime.api.http.routing import Call, Raw, route
from runtime.api.http.streaming import until_gone
from runtime.docker_syntax.frames import END, HEAD_SIZE, RESIZE, SIGNAL, STDIN, frame
from runtime.engine.errors import EngineError
from runtime.engine.service.model.request import Body, CreateRequest
from runtime.engine.service.records.waiters import Ended
from runtime.engine.service.service import Service
from runtime.engine.service.stdio.attachment import Attachment

_LONGEST = 1 << 24
"""Bytes of a frame; a longer one is invalid."""
_QUEUED = 256
"""Input frames to buffer for the program."""


class RunRequest(Body, kw_only=True):
    """What to run. create: the body of `POST /containers/create`."""

    name: str = ""
    platform: str = ""
    detach_keys: str = ""
    create: CreateRequest


@route("POST", "/nn/run", body=RunRequest, answer=Raw, also=(101, 400, 404, 409, 500))
async def run(call: Call[None, RunRequest]) -> web.StreamResponse:
    """Create a container, attach to it, start it, and stay until it has ended."""
    request, service = call.body, call.service
    if request.platform:
        check_name(request.platform)
    container_id, _ = await service.containers.create(
        request.name or None, request.create, platform=request.platform
    )
    attachment, ended = await _started(service, container_id, request)
    try:
        client = await take_over(call.request, Nn_Container=container_id)
        async with alongside(_take_input(service, container_id, client, attachment)):
            await until_gone(client.gone, _send_output(client, attachment, ended))
    except ConnectionError:
        return web.Response()  # the client is gone; the container keeps running
    finally:
        ended.cancel()
        await attachment.close()
    return Taken(client)


async def _started(
    service: Service, container_id: str, request: RunRequest
) -> tuple[Attachment, asyncio.Future[Ended]]:
    """Attach and start. A container that cannot be started is removed if it has AutoRemove."""
    create = request.create
    goes = create.host_config is not None and create.host_config.auto_remove
    attachment = service.streams.attach(
        container_id,
        stdin=create.attach_stdin,
        stdout=create.attach_stdout,
        stderr=create.attach_stderr,
        detach_keys=request.detach_keys,
    )
    ended = service.containers.subscribe_wait(container_id, "removed" if goes else "next-exit")
    try:
        await service.containers.start(container_id)
    except BaseException:
        ended.cancel()
        await attachment.close()
        if goes:
            with contextlib.suppress(EngineError):
                await service.containers.remove(container_id, force=True, volumes=True)
        raise
    return attachment, ended


async def _send_output(client: Hijacked, attachment: Attachment, ended: asyncio.Future[Ended]) -> None:
    async for stream, data in attachment:
        await client.send(frame(stream, data))
    if attachment.detached:
        return
    end = await ended
    await client.send(frame(END, msgspec.json.encode({"StatusCode": end.code, "Error": end.error})))


async def _take_input(service: Service, container_id: str, client: Hijacked, attachment: Attachment) -> None:
    """Handle frames. The queue keeps signals from waiting for a program that does not read its input."""
    queue: asyncio.Queue[bytes] = asyncio.Queue(_QUEUED)
    async with alongside(_hand_on(queue, attachment)):
        async for kind, payload in _frames(client):
            if kind == STDIN:
                await queue.put(payload)
                continue
            with contextlib.suppress(EngineError):  # the program has ended, or has no terminal
                if kind == SIGNAL and payload:
                    await service.containers.kill(container_id, str(payload[0]))
                elif kind == RESIZE and len(payload) == 4:
                    rows, columns = int.from_bytes(payload[:2], "big"), int.from_bytes(payload[2:], "big")
                    await service.containers.resize(container_id, rows, columns)
        await queue.put(b"")
        await client.gone.wait()


async def _hand_on(queue: asyncio.Queue[bytes], attachment: Attachment) -> None:
    while payload := await queue.get():
        await attachment.write(payload)
    await attachment.close_stdin()


async def _frames(client: Hijacked) -> AsyncIterator[tuple[int, bytes]]:
    """Yield (kind, payload) until the client sends no more, or an invalid frame."""
    unread = bytearray()
    while data := await client.read():
        unread += data
        while len(unread) >= HEAD_SIZE:
            size = int.from_bytes(unread[4:HEAD_SIZE], "big")
            if size > _LONGEST:
                return
            if len(unread) < HEAD_SIZE + size:
                break
            yield unread[0], bytes(unread[HEAD_SIZE : HEAD_SIZE + size])
            del unread[: HEAD_SIZE + size]
