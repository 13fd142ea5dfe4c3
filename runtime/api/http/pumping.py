"""Carry a program's stdio over a hijacked connection, both ways at once, until its output has ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine
from typing import Any

from runtime.api.http.hijack import Hijacked
from runtime.api.http.streaming import end, until_gone
from runtime.docker_syntax.frames import frame
from runtime.engine.service.stdio.attachment import Attachment


async def pump(client: Hijacked, attachment: Attachment, *, stdin: bool, raw: bool) -> None:
    """Pass on input and output. A half-close by the client ends the input and nothing else.

    raw: output without frames. Returns when the output has ended, the client has typed the detach keys, or is
    gone; the attachment is then closed.
    """
    try:
        async with alongside(feed(client, attachment) if stdin else _drop(client)):
            await until_gone(client.gone, _send_output(client, attachment, raw))
    except ConnectionError:
        pass  # the client has gone; what runs goes on
    finally:
        await attachment.close()


async def feed(client: Hijacked, attachment: Attachment) -> None:
    """Pass on the client's input and its end."""
    while data := await client.read():
        await attachment.write(data)
    await attachment.close_stdin()
    client.leave_if_hung_up()


async def _drop(client: Hijacked) -> None:
    while await client.read():
        pass
    client.leave_if_hung_up()


async def _send_output(client: Hijacked, attachment: Attachment, raw: bool) -> None:
    first = True
    async for stream, data in attachment:
        if first:
            await client.head_is_read()
            first = False
        await client.send(data if raw else frame(stream, data))


@contextlib.asynccontextmanager
async def alongside(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `work` beside the block, and cancel it at the block's end."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        await end(task)
