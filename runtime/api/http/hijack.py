"""Hijacked connections: after the response's head, raw bytes go both ways until both sides have ended.

aiohttp closes a connection whose reader has seen the end. Docker's clients half-close instead (no more
stdin) and go on reading, so a hijacked connection stays open for writing; we end it with a half-close, too.
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
"""Unread bytes beyond which reading from the client is paused."""

HEAD_S = 300.0
"""Seconds for the head of a request; a slower client only occupies a descriptor."""

LINGER_S = 10.0
"""Seconds that a client has to end its side after the end of our output."""

_LOOKS, _LOOK_S = 100, 0.001
"""How often to check whether a client has read the head, and the pause in between."""


class Connection(web.RequestHandler):
    """aiohttp's connection, which can be taken over, with an event for its end."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._taken: Hijacked | None = None
        self._late: asyncio.TimerHandle | None = None
        self._no_more = False
        self._due = False  # a request has arrived but is not being handled yet, which aiohttp does not show
        self._last_body: StreamReader | None = None
        self.gone = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()

    @property
    def taken(self) -> bool:
        """Whether a request has taken it over: no HTTP may be written any more."""
        return self._taken is not None

    def take(self) -> Hijacked:
        """Hand the connection over to the request that is being handled."""
        if self.transport is None:
            raise ConnectionResetError("the client has gone")
        rest, self._message_tail = bytes(self._message_tail), b""
        self._taken = Hijacked(self, self.transport)
        if rest:
            self._taken.feed(rest)
        if self._no_more:  # all of the input came before the response; the client still reads
            self._taken.feed_end()
            self.gone.clear()
        return self._taken

    def data_received(self, data: bytes) -> None:
        """Pass bytes to the request that has taken the connection over, else to aiohttp."""
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

    def eof_received(self) -> bool | None:  # type: ignore[override]  # asyncio uses the result
        """Keep the connection open while something is still to be written."""
        if self._taken is not None:
            self._taken.feed_end()
            return True
        self._no_more = True
        self.gone.set()  # for responses that never end; others are still written
        if self._is_cut():
            self.force_close()
            return None
        return self._request_in_progress or self._due or None

    async def _handle_request(self, *arguments: Any) -> tuple[web.StreamResponse, bool]:
        self._due = bool(self._messages)
        try:
            return await super()._handle_request(*arguments)
        finally:
            if self._no_more and not self._messages:  # not before: a closed connection is not parsed further
                self.close()

    def _is_cut(self) -> bool:
        """Whether the input ended within a body, whose reader would wait for ever."""
        return self._last_body is not None and not self._last_body.is_eof()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Wake everything that waits for this client."""
        self._stop_waiting()
        self.gone.set()
        self.writable.set()
        if self._taken is not None:
            self._taken.feed_end()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Note that the client does not read as fast as we write."""
        self.writable.clear()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that the client has caught up."""
        self.writable.set()
        super().resume_writing()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a malformed request in the form of all other errors."""
        if request.writer.output_size > 0:
            raise ConnectionError("the response has already begun")
        _log.debug("malformed request: %r", exc)
        if isinstance(exc, web.RequestPayloadError):  # from a body that was not read to its end
            status = 400
        response = web.json_response({"message": message or "malformed HTTP request"}, status=status)
        response.force_close()
        return response


class Hijacked:
    """A connection that was taken over. Input is buffered up to a limit, then reading is paused."""

    def __init__(self, connection: Connection, transport: asyncio.Transport) -> None:
        self._connection, self._transport = connection, transport
        self._unread = bytearray()
        self._ended = False
        self._paused = False
        self._dropping = False
        self._news = asyncio.Event()

    @property
    def gone(self) -> asyncio.Event:
        """Set once the connection is closed, by either side."""
        return self._connection.gone

    async def read(self, most: int = 1 << 16) -> bytes:
        """Return received bytes; b"" once the client sends no more or is gone."""
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
        """After the end of input, abort if the client has closed both ways, which only unix sockets show."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None and sock.family == socket.AF_UNIX and not self._transport.is_closing():
            poll = select.poll()
            poll.register(sock.fileno(), 0)
            if poll.poll(0):
                self._transport.abort()

    async def head_is_read(self) -> None:
        """Return once the client has read all that was sent so far, or takes long; at once for TCP.

        docker-py reads the head through a buffer but the rest directly: output that arrives with the head
        is lost.
        """
        sock = self._transport.get_extra_info("socket")
        if sock is None or sock.family != socket.AF_UNIX:
            return
        for _ in range(_LOOKS):
            if self._transport.is_closing() or not _unread_by_peer(sock.fileno()):
                return
            await asyncio.sleep(_LOOK_S)

    async def finish(self) -> None:
        """Half-close, and close once the client has done the same.

        A socket closed with unread input is reset, and output that the client has not yet read is lost.
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
        """Buffer bytes from the client."""
        if self._dropping:
            return
        self._unread += data
        if len(self._unread) > _ENOUGH and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._news.set()

    def feed_end(self) -> None:
        """Note that the client sends no more."""
        self._ended = True
        self._news.set()


def _unread_by_peer(fd: int) -> int:
    """Return how much of a unix socket's output the peer has not read: bytes plus the kernel's overhead."""
    return int.from_bytes(fcntl.ioctl(fd, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


class Taken(web.StreamResponse):
    """The response of a handler that took the connection over: everything is already written."""

    def __init__(self, hijacked: Hijacked) -> None:
        super().__init__()
        self._hijacked = hijacked
        self.force_close()

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write nothing: the head was written when the connection was taken over."""
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Close the connection."""
        await self._hijacked.finish()


def wants_upgrade(request: web.BaseRequest) -> bool:
    """Return whether the client asked to switch protocols on this connection."""
    return "Upgrade" in request.headers


async def take_over(
    request: web.BaseRequest, media: str = "application/vnd.docker.raw-stream", **headers: str
) -> Hijacked:
    """Answer 101 (200 to a client that did not ask for an upgrade) and take the connection over.

    media: the content type of the stream; without an upgrade dockerd always says raw-stream. headers: more
    headers, with `_` for `-`.
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
