"""Streamed responses: progress, logs, events, tar files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Awaitable
from typing import Any, TypeVar

import msgspec
from aiohttp import web

from runtime.api.http.hijack import Connection

T = TypeVar("T")


async def send_stream(
    request: web.BaseRequest,
    chunks: AsyncIterable[bytes],
    media: str = "application/json",
    *,
    headers: dict[str, str] | None = None,
    patient: bool = False,
) -> web.StreamResponse:
    """Send the head at once and then each chunk as it comes; stop the source when the client is gone.

    patient: send the head only with the first chunk, for clients that stop reading once they have it.
    An error before the first chunk becomes an error response only if that chunk was awaited before: see
    `first_of`.
    """
    response = web.StreamResponse(headers={"Content-Type": media, **(headers or {})})

    async def send() -> None:
        if not patient:
            await response.prepare(request)
        async for chunk in chunks:
            if not response.prepared:
                await response.prepare(request)
            await response.write(chunk)
        if not response.prepared:
            await response.prepare(request)

    try:
        await while_connected(request, send())
    finally:
        await _close(chunks)
    return response


async def send_json_lines(
    request: web.BaseRequest, documents: AsyncIterable[Any], *, patient: bool = False
) -> web.StreamResponse:
    """Send documents as lines of JSON, each as it comes; an error becomes the last line.

    Docker's clients take `errorDetail` in such a stream for the failure of the request. patient: as in
    send_stream.
    """

    async def lines() -> AsyncIterator[bytes]:
        try:
            async for document in documents:
                yield msgspec.json.encode(document) + b"\r\n"
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:
            yield msgspec.json.encode({"errorDetail": {"message": str(error)}, "error": str(error)}) + b"\r\n"

    try:
        return await send_stream(request, lines(), patient=patient)
    finally:
        await _close(documents)


async def first_of(chunks: AsyncIterator[T]) -> AsyncIterator[T]:
    """Wait for the first chunk, so that its error is raised here, and return an iterator over all chunks."""
    try:
        first = await anext(chunks)
    except StopAsyncIteration:
        return _empty()
    return _Joined(first, chunks)


async def while_connected(request: web.BaseRequest, work: Awaitable[T]) -> T:
    """Do the work, but cancel it when the client disconnects. Raises ConnectionResetError then."""
    connection = request.protocol
    if not isinstance(connection, Connection):
        return await work
    return await until_gone(connection.gone, work)


async def until_gone(gone: asyncio.Event, work: Awaitable[T]) -> T:
    """Do the work, but cancel it when `gone` is set. Raises ConnectionResetError then."""
    task, closed = asyncio.ensure_future(work), asyncio.ensure_future(gone.wait())
    try:
        await asyncio.wait((task, closed), return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ConnectionResetError("the client has gone")
    finally:
        closed.cancel()
        await end(task)


async def end(task: asyncio.Future[Any]) -> None:
    """Cancel a task and wait for its end, ignoring its result."""
    if not task.done():
        task.cancel()
        await asyncio.wait((task,))
    _ = task.cancelled() or task.exception()


async def _close(source: AsyncIterable[Any]) -> None:
    """Close a source that may not be read to its end: left to the garbage collector, its work would go on."""
    if isinstance(source, AsyncGenerator | _Joined):
        await source.aclose()


class _Joined(AsyncIterator[T]):
    """The first chunk and the others."""

    def __init__(self, first: T, rest: AsyncIterator[T]) -> None:
        self._first, self._rest = [first], rest

    async def __anext__(self) -> T:
        return self._first.pop() if self._first else await anext(self._rest)

    async def aclose(self) -> None:
        await _close(self._rest)


async def _empty() -> AsyncIterator[Any]:
    return
    yield
