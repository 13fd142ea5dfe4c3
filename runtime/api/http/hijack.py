"""Connections that a request takes over: after the answer's head, bytes go both ways until both have ended.

aiohttp closes a connection whose reader has seen the end. Docker's clients half-close instead (no more
stdin) and go on reading, so a taken connection is kept open for writing; our end of it is a half-close too.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import select
import socket
import sys
import termios
from typing import Any

from aiohttp import StreamReader, web
from aiohttp.abc import AbstractStreamWriter

_log = logging.getLogger(__name__)

_ENOUGH = 256 << 10
"""Unread bytes beyond which the client is made to wait."""

HEAD_S = 300.0
"""Seconds for the head of a request; who trickles it in any slower only holds a descriptor."""

LINGER_S = 10.0
"""Seconds that a client has, after the end of our output, to end its own."""

_LOOKS, _LOOK_S = 100, 0.001
"""How often to look whether a client has read the head, and with which pause."""


class Connection(web.RequestHandler):
    """aiohttp's connection, with a way to take it over and to be told when it is gone."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._taken: Hijacked | None = None
        self._late: asyncio.TimerHandle | None = None
        self._no_more = False
        self._due = False  # a request has come and is not begun; aiohttp shows it nowhere, for a while
        self._last_body: StreamReader | None = None
        self.gone = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()

    @property
    def taken(self) -> bool:
        """Whether a request has it for itself: nothing of HTTP may be written any more."""
        return self._taken is not None

    def take(self) -> Hijacked:
        """Give the connection to the request that is being handled."""
        if self.transport is None:
            raise ConnectionResetError("the client has gone")
        rest, self._message_tail = bytes(self._message_tail), b""
        self._taken = Hijacked(self, self.transport)
        if rest:
            self._taken.feed(rest)
        if self._no_more:  # all of the input came before the answer; who sent it still reads
            self._taken.feed_end()
            self.gone.clear()
        return self._taken

    def data_received(self, data: bytes) -> None:
        """Hand bytes to whoever has the connection."""
        if self._taken is not None:
            self._taken.feed(data)
            return
        super().data_received(data)
        if self._messages:
            self._due, self._last_body = True, self._messages[-1][1]
        if self._request_in_progress or self._due or self._taken is not None:
            self._stop_waiting()
        elif self._late is None:
            self._late = self._loop.call_later(HEAD_S, self.force_close)

    def _stop_waiting(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def eof_received(self) -> bool | None:  # type: ignore[override]  # asyncio looks at what it returns
        """Keep a connection open for what is still to be written."""
        if self._taken is not None:
            self._taken.feed_end()
            return True
        self._no_more = True
        self.gone.set()  # for answers that never end; others are still written
        if self._is_cut():
            self.force_close()
            return None
        return self._request_in_progress or self._due or None

    async def _handle_request(self, *arguments: Any) -> tuple[web.StreamResponse, bool]:
        self._due = bool(self._messages)
        try:
            return await super()._handle_request(*arguments)
        finally:
            if self._no_more and not self._messages:  # not before: what is closed is parsed no further
                self.close()

    def _is_cut(self) -> bool:
        """Whether the input ended within a body, for which somebody would wait for ever."""
        return self._last_body is not None and not self._last_body.is_eof()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Tell whoever waits."""
        self._stop_waiting()
        self.gone.set()
        self.writable.set()
        if self._taken is not None:
            self._taken.feed_end()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read as fast as we write."""
        self.writable.clear()
        super().pause_writing()

    def resume_writing(self) -> None:
        """It has read."""
        self.writable.set()
        super().resume_writing()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is no HTTP request in the form of all other errors."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        _log.debug("malformed request: %r", exc)
        if isinstance(exc, web.RequestPayloadError):  # of a body that nobody has read to its end
            status = 400
        response = web.json_response({"message": message or "malformed HTTP request"}, status=status)
        response.force_close()
        return response


class Hijacked:
    """A taken connection. What it gets is kept up to a limit, then the client has to wait."""

    def __init__(self, connection: Connection, transport: asyncio.Transport) -> None:
        self._connection, self._transport = connection, transport
        self._unread = bytearray()
        self._ended = False
        self._paused = False
        self._dropping = False
        self._news = asyncio.Event()

    @property
    def gone(self) -> asyncio.Event:
        """Set once the connection is closed, by whomever."""
        return self._connection.gone

    async def read(self, most: int = 1 << 16) -> bytes:
        """Return what has come; b"" once the client sends no more or is gone."""
        while not self._unread and not self._ended:
            self._news.clear()
            await self._news.wait()
        data = bytes(self._unread[:most])
        del self._unread[:most]
        if self._paused and len(self._unread) < _ENOUGH and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()
        return data

    async def send(self, data: bytes) -> None:
        """Write, and wait while the client is slow. Raises ConnectionResetError when it is gone."""
        if self._transport.is_closing():
            raise ConnectionResetError("the client has gone")
        self._transport.write(data)
        if not self._connection.writable.is_set():
            await self._connection.writable.wait()

    def leave_if_hung_up(self) -> None:
        """After the end of input: close when the client has closed it all, as only unix sockets tell."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.family == socket.AF_UNIX and not self._transport.is_closing():
            poll = select.poll()
            poll.register(sock.fileno(), 0)
            if poll.poll(0):
                self._transport.abort()

    async def head_is_read(self) -> None:
        """Return once the client has read all that was sent so far, or takes long; at once for TCP.

        docker-py reads the head through a buffer and what follows past it: output that comes along is lost.
        """
        sock = self._transport.get_extra_info("socket")
        if sock is None or sock.family != socket.AF_UNIX:
            return
        for _ in range(_LOOKS):
            if self._transport.is_closing() or not _unread_by_peer(sock.fileno()):
                return
            await asyncio.sleep(_LOOK_S)

    async def finish(self) -> None:
        """Say that no more comes, and close it once the client has done the same.

        A socket closed with unread input is reset, and output that the client has not read yet is lost.
        """
        self._dropping = True
        self._unread.clear()
        with contextlib.suppress(OSError):  # reset by the client
            if self._paused and not self._transport.is_closing():
                self._transport.resume_reading()
            self._transport.write_eof()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LINGER_S):
                while not self._ended:
                    self._news.clear()
                    await self._news.wait()
        self._transport.close()

    def feed(self, data: bytes) -> None:
        """Take what the client sent."""
        if self._dropping:
            return
        self._unread += data
        if len(self._unread) > _ENOUGH and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._news.set()

    def feed_end(self) -> None:
        """The client sends no more."""
        self._ended = True
        self._news.set()


def _unread_by_peer(fd: int) -> int:
    """Return what of a unix socket's output waits in the kernel, bytes and the room they take."""
    return int.from_bytes(fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


class Taken(web.StreamResponse):
    """What a handler returns that took the connection: everything is written already."""

    def __init__(self, hijacked: Hijacked) -> None:
        super().__init__()
        self._hijacked = hijacked
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write no head: it was written when the connection was taken."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Close the connection."""
        await self._hijacked.finish()


def wants_upgrade(request: web.BaseRequest) -> bool:
    """Say whether the client asked to go on with another protocol on this connection."""
    return "Upgrade" in request.headers


async def take_over(
    request: web.BaseRequest, media: str = "application/vnd.docker.raw-stream", **headers: str
) -> Hijacked:
    """Answer with 101 (200 to a client that did not ask for an upgrade) and take the connection.

    media: the content type of what follows; without an upgrade Docker always says raw-stream. headers: more
    of the head, with `_` for `-`.
    """
    connection = request.protocol
    assert isinstance(connection, Connection)
    hijacked = connection.take()
    if wants_upgrade(request):
        lines = [
            "HTTP/1.1 101 UPGRADED",
            f"Content-Type: {media}",
            "Connection: Upgrade",
            f"Upgrade: {request.headers['Upgrade']}",
        ]
    else:
        lines = ["HTTP/1.1 200 OK", "Content-Type: application/vnd.docker.raw-stream"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    await hijacked.send("\r\n".join([*lines, "", ""]).encode("latin-1"))
    return hijacked
