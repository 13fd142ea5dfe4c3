"""Progress as JSON documents: emitted by work in the loop or in threads, read by one consumer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

_AHEAD = 256
_HELD = 1024

Line = dict[str, Any]


class Lines:
    """Lines that were emitted and not read yet. emit() may be called in any thread."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Line] = deque()
        self._more = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()

    def emit(self, line: Line) -> None:
        """Append a line."""
        self._waiting.append(line)
        self._loop.call_soon_threadsafe(self._changed)

    def stream(self, text: str) -> None:
        """Append a text, as docker's build and load do."""
        self.emit({"stream": text})

    async def room(self) -> None:
        """Wait until the reader has caught up: for work with unlimited output."""
        await self._room.wait()

    def _changed(self) -> None:
        self._more.set()
        if len(self._waiting) > _AHEAD:
            self._room.clear()

    def take(self) -> Line | None:
        """Return the next line, None when there is none now."""
        line = self._waiting.popleft() if self._waiting else None
        if len(self._waiting) <= _AHEAD:
            self._room.set()
        if line is None:
            self._more.clear()
        return line

    async def wait(self) -> None:
        """Wait until there may be more."""
        await self._more.wait()


class HeldLines(Lines):
    """Lines that are read only if the work fails, and then only the last of them."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting = deque(maxlen=_HELD)

    def _changed(self) -> None:
        """Nothing to wake, as nobody reads: there is always room."""

    def release(self, lines: Lines) -> None:
        """Append them to `lines`."""
        while self._waiting:
            lines.emit(self._waiting.popleft())


async def run_reporting(work: Callable[[Lines], Awaitable[object]]) -> AsyncIterator[Line]:
    """Do the work and yield its lines as they come; at the end raise what it raised.

    To stop reading (aclosing) cancels the work, and waits until it has cleaned up.
    """
    lines = Lines()
    task = asyncio.ensure_future(work(lines))
    task.add_done_callback(lambda _: lines._changed())
    try:
        while True:
            while (line := lines.take()) is not None:
                yield line
            if task.done():
                # The last lines of threads may still be on their way into the loop.
                if not lines._waiting:
                    break
                continue
            await lines.wait()
        await task
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait((task,))
