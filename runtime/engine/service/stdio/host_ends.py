"""The host's ends of a program's stdio, pipes or a terminal, read and written without threads."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sys
import termios
from collections.abc import Callable

CHUNK = 1 << 16
"""Bytes read at once; a pipe that is this full is made larger."""
_ROOMY = 1 << 20


class OutputReader:
    """Reads one descriptor, which is its own from now on. It begins with resume().

    take: called with (stream, data) for each piece. read: instead of os.read, with the stream in between.
    ended: done once nothing more will come.
    """

    def __init__(
        self,
        fd: int,
        stream: int,
        take: Callable[[int, bytes], None],
        read: Callable[[int, int, int], bytes] | None = None,
    ) -> None:
        self._fd, self._stream, self._take = fd, stream, take
        self._read_from = read or _plain_read
        self._loop = asyncio.get_running_loop()
        self._small = True
        self._reading = False
        self.ended: asyncio.Future[None] = self._loop.create_future()
        os.set_blocking(fd, False)

    def resume(self) -> None:
        """Read on. Idempotent."""
        if self._fd >= 0 and not self._reading:
            self._loop.add_reader(self._fd, self._read)
            self._reading = True

    def pause(self) -> None:
        """Stop reading for now: the program blocks once its pipe is full."""
        if self._reading:
            self._loop.remove_reader(self._fd)
            self._reading = False

    def take_what_is_there(self) -> None:
        """Read all that was written so far, and nothing that is written from now on."""
        left = _unread(self._fd) if self._fd >= 0 else 0
        while left > 0 and (count := self._read()):
            left -= count

    def close(self) -> None:
        """Stop reading. Idempotent."""
        if self._fd >= 0:
            self.pause()
            os.close(self._fd)
            self._fd = -1
            if not self.ended.done():
                self.ended.set_result(None)

    def _read(self) -> int:
        try:
            data = self._read_from(self._fd, self._stream, CHUNK)
        except (BlockingIOError, InterruptedError):
            return 0
        except OSError:  # EIO: no process has the terminal open any more
            data = b""
        if not data:
            self.close()
            return 0
        if self._small and len(data) == CHUNK:
            self._small = False
            _enlarge(self._fd)
        self._take(self._stream, data)
        return len(data)


class InputWriter:
    """Writes one descriptor, which is its own from now on, in the program's pace."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._turn = asyncio.Lock()
        self._waiting: asyncio.Future[None] | None = None
        self._small = True
        os.set_blocking(fd, False)

    async def write(self, data: bytes) -> None:
        """Write all of it, not interleaved with other writes.

        Dropped when the program has closed its stdin.
        """
        async with self._turn:
            left = memoryview(data)
            while left and self._fd >= 0:
                try:
                    left = left[os.write(self._fd, left) :]
                except BlockingIOError:
                    await self._writable()
                except OSError:  # EPIPE, or EIO of a terminal that no process has open
                    self.close()

    async def finish(self) -> None:
        """Close it after pending writes."""
        async with self._turn:
            self.close()

    def close(self) -> None:
        """Close it now. Idempotent."""
        if self._fd >= 0:
            self._loop.remove_writer(self._fd)
            os.close(self._fd)
            self._fd = -1
            if self._waiting is not None and not self._waiting.done():
                self._waiting.set_result(None)

    async def _writable(self) -> None:
        if self._small:
            self._small = False
            if _enlarge(self._fd):
                return
        self._waiting = self._loop.create_future()
        self._loop.add_writer(self._fd, _set, self._waiting)
        try:
            await self._waiting
        finally:
            if self._fd >= 0:
                self._loop.remove_writer(self._fd)


def _unread(fd: int) -> int:
    with contextlib.suppress(OSError):  # a terminal that no process has open any more
        return int.from_bytes(fcntl.ioctl(fd, termios.FIONREAD, bytes(4)), sys.byteorder)
    return 0


def _plain_read(fd: int, _stream: int, most: int) -> bytes:
    return os.read(fd, most)


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _enlarge(fd: int) -> bool:
    """Enlarge a busy pipe: fewer switches between the program and this process. Not for terminals."""
    with contextlib.suppress(OSError):
        if fcntl.fcntl(fd, fcntl.F_GETPIPE_SZ) < _ROOMY:
            fcntl.fcntl(fd, fcntl.F_SETPIPE_SZ, _ROOMY)
            return True
    return False
