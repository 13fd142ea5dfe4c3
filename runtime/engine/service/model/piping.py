"""Bridge async iterators of bytes and blocking code that reads or writes a file."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from typing import Any, BinaryIO, TypeVar

T = TypeVar("T")

_END = object()
_AHEAD = 1 << 20
"""Bytes of a pipe: with the kernel's 64 KiB the two sides would wait for each other too often."""


async def feed(chunks: AsyncIterable[bytes], work: Callable[[BinaryIO], T]) -> T:
    """Run `work` in a thread, on a pipe into which `chunks` are written.

    Raises what `work` raises, and what the chunks raise, once `work` has read to the end.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(write, False)
    with contextlib.suppress(OSError):  # the host may allow less
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, _AHEAD)
    source = os.fdopen(read, "rb")

    def run() -> T:
        with source:
            return work(source)

    task = asyncio.create_task(asyncio.to_thread(run))
    failure: BaseException | None = None
    try:
        async for chunk in chunks:
            if not await _write(write, chunk, task):
                break
    except BaseException as error:
        failure = error
    finally:
        os.close(write)
    try:
        result = await asyncio.shield(task)
    except asyncio.CancelledError:
        with contextlib.suppress(Exception):
            await task
        raise
    except Exception:
        if failure is not None:
            raise failure from None
        raise
    if failure is not None:
        raise failure
    return result


async def _write(fd: int, data: bytes, reader: asyncio.Task[Any]) -> bool:
    """Write all of `data`; False when the reader has closed the pipe."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(fd, view) :]
        except BlockingIOError:
            await _writable(fd, reader)
        except BrokenPipeError:
            return False
    return True


async def _writable(fd: int, reader: asyncio.Task[Any]) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_writer(fd, ready.set)
    waiting = asyncio.create_task(ready.wait())
    try:
        await asyncio.wait((waiting, reader), return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
        loop.remove_writer(fd)


async def drain(make: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
    """Yield what a blocking iterator yields, made and run in threads, one step at a time.

    It is closed, and awaited, also when the reader stops early, so that it frees what it holds.
    """
    iterator = await asyncio.to_thread(make)
    step: asyncio.Future[Any] | None = None
    try:
        while True:
            step = asyncio.ensure_future(asyncio.to_thread(next, iterator, _END))
            item = await asyncio.shield(step)
            if item is _END:
                return
            yield item
    finally:
        if step is not None and not step.done():
            await asyncio.wait((step,))
        close = getattr(iterator, "close", None)
        if close is not None:
            await asyncio.shield(asyncio.to_thread(close))
