"""The stdio of one program, shared by its log and all attached clients."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Any, Protocol

from runtime.docker_syntax.frames import STDERR, STDOUT
from runtime.engine.service.stdio.attachment import Attachment, Piece
from runtime.engine.service.stdio.host_ends import InputWriter, OutputReader

PATIENCE_S = 2.0
"""How long a descriptor is read that something outside holds open after the program's end."""
_MOST_AT_END = 64 << 20


class Sink(Protocol):
    """A consumer of all output: a log."""

    def read(self, fd: int, stream: int, most: int) -> bytes:
        """Read a pipe, as os.read() does; write() with the result follows."""
        ...

    def write(self, stream: int, data: bytes) -> None:
        """Take a piece of stream 1 or 2."""
        ...

    def flush(self) -> None:
        """The program has ended."""
        ...


class OutputFanout:
    """Reads a program's output once, for its log and for all attached clients.

    Used in the loop only. It exists before the program and after it: start() begins a run, finish() ends it,
    and a client that attaches in between waits for the next run. closes_stdin: the end of a client's input
    ends the program's. close_stdin: has other copies of the program's stdin closed.
    """

    def __init__(
        self,
        *,
        tty: bool,
        stdin: bool,
        closes_stdin: bool,
        close_stdin: Callable[[], Coroutine[Any, Any, None]],
        sink: Sink | None = None,
        on_detach: Callable[[], None] | None = None,
    ) -> None:
        self._tty, self._stdin = tty, stdin
        self._closes_stdin = closes_stdin and not tty
        self._close_stdin = close_stdin
        self._sink = sink
        self._on_detach = on_detach
        self._attachments: list[Attachment] = []
        self._readers: list[OutputReader] = []
        self._writer: InputWriter | None = None
        self._paused = False
        self._finishing = False
        self._stdin_over = False
        self._closing: asyncio.Future[None] | None = None
        self._started: asyncio.Future[InputWriter | None] = asyncio.get_running_loop().create_future()

    @property
    def running(self) -> bool:
        """Whether it is between start() and finish()."""
        return self._started.done()

    # ---- the program --------------------------------------------------------------------------------------

    def start(self, fds: list[int]) -> None:
        """Begin a run with (stdin, stdout, stderr), (stdout, stderr) or one terminal; they are ours now."""
        self._close()
        if self._started.done():
            self._started = asyncio.get_running_loop().create_future()
        self._paused = self._finishing = False
        if self._tty:
            (terminal,) = fds
            if self._stdin:
                self._writer = InputWriter(os.dup(terminal))
            outputs = [(terminal, STDOUT)]
        else:
            *stdin, stdout, stderr = fds
            if stdin:
                self._writer = InputWriter(stdin[0])
            outputs = [(stdout, STDOUT), (stderr, STDERR)]
        read = None if self._tty or self._sink is None else self._sink.read
        self._readers = [OutputReader(fd, stream, self._take, read) for fd, stream in outputs]
        for reader in self._readers:
            reader.resume()
        self._started.set_result(self._writer)
        if self._stdin_over and self._writer is not None:  # its client left before the start
            self._writer.close()
            self._closing = asyncio.ensure_future(self._close_stdin())
        self._settle()

    async def finish(self) -> None:
        """Read and forward all that is left, and end the run and all attachments.

        Without a run it ends those that waited for one.
        """
        self._finishing = True
        self._settle()
        ended = [reader.ended for reader in self._readers]
        if ended:
            await asyncio.wait(ended, timeout=PATIENCE_S)
        for reader in self._readers:  # where the time was over before all was read, on a busy machine
            reader.take_what_is_there()
        self._close()
        if self._sink is not None:
            self._sink.flush()
        if not self._started.done():
            self._started.set_result(None)
        self._started = asyncio.get_running_loop().create_future()
        self._stdin_over = self._finishing = False
        self._end_attachments()

    def close(self) -> None:
        """Release everything at once; the program runs on."""
        self._close()
        if not self._started.done():
            self._started.set_result(None)
        self._end_attachments()

    def _close(self) -> None:
        for reader in self._readers:
            reader.close()
        self._readers = []
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _end_attachments(self) -> None:
        attachments, self._attachments = self._attachments, []
        for attachment in attachments:
            attachment.end()

    def _take(self, stream: int, data: bytes) -> None:
        if self._sink is not None:
            self._sink.write(stream, data)
        for attachment in self._attachments:
            attachment.offer(stream, data)
        self._settle()

    def _settle(self) -> None:
        """Read on unless a client is behind; after the program's end read the rest, within a limit."""
        if self._finishing:
            pause = any(attachment.held > _MOST_AT_END for attachment in self._attachments)
        else:
            pause = any(attachment.full for attachment in self._attachments)
        if pause != self._paused:
            self._paused = pause
            for reader in self._readers:
                if pause:
                    reader.pause()
                else:
                    reader.resume()

    # ---- those attached -----------------------------------------------------------------------------------

    def attach(
        self,
        *,
        stdin: bool,
        streams: frozenset[int],
        keys: bytes = b"",
        earlier: AsyncIterator[Piece] | None = None,
    ) -> Attachment:
        """Return an attachment that misses nothing from now on. earlier: what it yields before."""
        attachment = Attachment(
            self, tty=self._tty, stdin=stdin and self._stdin, streams=streams, keys=keys, earlier=earlier
        )
        self._attachments.append(attachment)
        return attachment

    def room(self) -> None:
        """A client has read."""
        self._settle()

    def detach(self, attachment: Attachment, *, keys: bool) -> None:
        """Detach this attachment."""
        if attachment in self._attachments:
            self._attachments.remove(attachment)
            self._settle()
            if keys and self._on_detach is not None:
                self._on_detach()

    async def write(self, data: bytes) -> None:
        """Forward input; before the start wait for that."""
        writer = await asyncio.shield(self._started)
        if writer is not None:
            await writer.write(data)

    async def end_input(self) -> bool:
        """Close the program's stdin, if a client may do so; say whether it may."""
        if not self._closes_stdin:
            return False
        self._stdin_over = True
        if self._started.done():
            if self._writer is not None:
                await self._writer.finish()
            await self._close_stdin()
        return True
