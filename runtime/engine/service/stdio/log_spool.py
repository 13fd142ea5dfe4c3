"""Take a program's output from its pipe so that a killed daemon neither loses any of it nor logs it twice.

Bytes in memory that are not yet in the log would be lost with the process. So the kernel moves them from the
pipe into a file, in one call, and they are read there. The file's head says from which byte on they are not
in the log yet, and how large the log was before: the next daemon cuts the log back to that size and writes
the rest again.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_HEAD = struct.Struct("<QQQB4p4p")
_START = 64
_LARGE = 1 << 20


class Unlogged(NamedTuple):
    """What the last daemon left. held: by stream, the first bytes of an unfinished character.

    size, inode: of the log's file before `data` of `stream` was written to it.
    """

    stream: int
    data: bytes
    held: dict[int, bytes]
    size: int
    inode: int


class Intake:
    """The spool of one log. When its file fails, output is still read, but not protected from a kill."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1
        self._end = _START
        self._stream = 0
        self._log: tuple[int, int] = (0, 0)
        self._held: Mapping[int, bytes] = {}

    def take(self, fd: int, stream: int, most: int) -> bytes:
        """Read as os.read() does; call logged() when the result is in the log."""
        try:
            if self._fd < 0:
                self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
                self._end = _START
            if stream != self._stream:
                self._stream = stream
                self._write_head()
            count = os.splice(fd, self._fd, most, offset_dst=self._end, flags=os.SPLICE_F_NONBLOCK)
        except BlockingIOError:
            raise
        except OSError:  # a full disk, or not a pipe
            return os.read(fd, most)
        data = os.pread(self._fd, count, self._end)
        self._end += count
        return data

    def logged(self, size: int, inode: int, held: Mapping[int, bytes]) -> None:
        """Everything read is in the log (now `size` bytes), except `held`."""
        self._log, self._held = (size, inode), held
        if self._fd < 0:
            return
        try:
            self._write_head()
            if self._end > _LARGE:
                os.ftruncate(self._fd, _START)  # until the head is written, its end lies before its start
                self._end = _START
                self._write_head()
        except OSError:
            self.close()

    def _write_head(self) -> None:
        held = [self._held.get(stream, b"") for stream in (1, 2)]
        os.pwrite(self._fd, _HEAD.pack(*self._log, self._end, self._stream, *held), 0)

    def close(self) -> None:
        """End: everything is in the log, and nothing more comes."""
        if self._fd >= 0:
            self.leave()
            self._path.unlink(missing_ok=True)

    def leave(self) -> None:
        """Close the file, but keep it for the next daemon."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        self._stream = 0

    def left(self) -> Unlogged | None:
        """Return what the last daemon read and did not write, None for nothing. Then call logged()."""
        try:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        data = os.pread(self._fd, os.fstat(self._fd).st_size, 0)
        self._end = max(len(data), _START)
        if len(data) < _HEAD.size:
            return None
        size, inode, start, stream, *held = _HEAD.unpack_from(data)
        return Unlogged(stream, data[start:], dict(zip((1, 2), held, strict=True)), size, inode)
