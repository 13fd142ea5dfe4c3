"""A client's connection to a program's stdio."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from typing import Protocol

from runtime.docker_syntax.detach_keys import KeyMatcher

MOST = 1 << 18
"""Bytes that an attachment keeps for a client that does not read, before the program is blocked."""

Piece = tuple[int, bytes]


class StdioSource(Protocol):
    """The program's side of an attachment."""

    def room(self) -> None:
        """A client has read: unblock the program."""
        ...

    def detach(self, attachment: Attachment, *, keys: bool) -> None:
        """Detach this attachment."""
        ...

    async def write(self, data: bytes) -> None:
        """Forward input."""
        ...

    async def end_input(self) -> bool:
        """Close the program's stdin, if this client may do so; say whether it may."""
        ...


class Attachment:
    """Made by Streams.attach() and Execs.start().

    The API copies both directions at once: `async for stream, data in attachment` yields output (stream 1
    stdout or terminal, 2 stderr) until the program has ended and all is read, the detach keys were typed, or
    close() was called. Output that is not fetched blocks the program. For input: `await write(data)` for each
    piece, `await close_stdin()` when the client sends no more, and always `await close()` at the end.
    """

    tty: bool
    detached: bool
    """Whether the client typed the detach keys."""

    def __init__(
        self,
        source: StdioSource,
        *,
        tty: bool,
        stdin: bool,
        streams: frozenset[int],
        keys: bytes = b"",
        earlier: AsyncIterator[Piece] | None = None,
    ) -> None:
        self.tty = tty
        self.detached = False
        self._source = source
        self._stdin = stdin
        self._streams = streams
        self._keys = KeyMatcher(keys) if keys and tty and stdin else None
        self._earlier = earlier
        self._pieces: deque[Piece] = deque()
        self._held = 0
        self._ended = False
        self._news: asyncio.Future[None] | None = None

    def __aiter__(self) -> Attachment:
        return self

    async def __anext__(self) -> tuple[int, bytes]:
        if self._earlier is not None:
            piece = await anext(self._earlier, None)
            if piece is not None:
                return piece
            self._earlier = None
        while not self._pieces:
            if self._ended:
                raise StopAsyncIteration
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        return self._next()

    def _next(self) -> Piece:
        """Merge the pieces of one stream that have arrived in the meantime."""
        stream, data = self._pieces.popleft()
        if self._pieces and self._pieces[0][0] == stream:
            parts, size = [data], len(data)
            while self._pieces and self._pieces[0][0] == stream and size < MOST:
                parts.append(self._pieces.popleft()[1])
                size += len(parts[-1])
            data = b"".join(parts)
        self._held -= len(data)
        if self._held < MOST // 2:
            self._source.room()
        return stream, data

    # ---- the client's input -------------------------------------------------------------------------------

    async def write(self, data: bytes) -> None:
        """Forward input as the program reads it; before the start wait for that. Never fails."""
        if not self._stdin or self._ended:
            return
        found = False
        if self._keys is not None:
            data, found = self._keys.feed(data)
        if data:
            await self._source.write(data)
        if found and not self._ended:
            self.detached = True
            self._let_go(keys=True)

    async def close_stdin(self) -> None:
        """End the client's input: the program reads its end, unless others may still attach (StdinOnce).

        Then, as with a terminal, this attachment ends, as in Docker.
        """
        if not self._stdin or self._ended:
            return
        self._stdin = False
        held = self._keys.flush() if self._keys is not None else b""
        if held:
            await self._source.write(held)
        if not await self._source.end_input():
            self._let_go(keys=False)

    async def close(self) -> None:
        """Detach at any point. Idempotent."""
        ends_input = self._stdin and not self._ended
        self._stdin = False
        self._let_go(keys=False)
        self._pieces.clear()
        self._held = 0
        self._source.room()
        earlier, self._earlier = self._earlier, None
        if earlier is not None and hasattr(earlier, "aclose"):
            await earlier.aclose()
        if ends_input:
            await self._source.end_input()

    def _let_go(self, *, keys: bool) -> None:
        if not self._ended:
            self._source.detach(self, keys=keys)
            self.end()

    # ---- for the source -----------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether the client is behind."""
        return self._held >= MOST

    @property
    def held(self) -> int:
        """Bytes that the client has not fetched."""
        return self._held

    def offer(self, stream: int, data: bytes) -> None:
        """Keep output for the client, if it wants this stream."""
        if stream in self._streams:
            self._pieces.append((stream, data))
            self._held += len(data)
            self._wake()

    def end(self) -> None:
        """End the client's iteration after what is kept. Idempotent."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)
