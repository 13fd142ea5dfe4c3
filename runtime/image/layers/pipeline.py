"""Read, hash and unpack a long layer in parallel threads.

Short layers stay in one thread, since starting others would take longer.
"""

from __future__ import annotations

import hashlib
import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import BinaryIO, Protocol, TypeVar, cast

T = TypeVar("T")

_SHORT = 4 << 20
_AHEAD = 8 << 20
_PIECE = 1 << 20


class Hash:
    """SHA-256, computed in another thread once the data is long. Not thread-safe."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._size = self._held = 0
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[tuple[Future[None], int]] = deque()

    def update(self, data: bytes) -> None:
        """Add bytes, which must not change any more."""
        self._size += len(data)
        if self._size <= _SHORT:
            self._hash.update(data)
            return
        if self._pool is None:
            self._pool = ThreadPoolExecutor(1, thread_name_prefix="hash")
        self._waiting.append((self._pool.submit(self._hash.update, data), len(data)))
        self._held += len(data)
        while self._held > _AHEAD:
            self._wait()

    def hexdigest(self) -> str:
        """Return the digest of all bytes so far."""
        while self._waiting:
            self._wait()
        return self._hash.hexdigest()

    def _wait(self) -> None:
        done, size = self._waiting.popleft()
        done.result()
        self._held -= size


class Readable(Protocol):
    """Anything with a blocking read()."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, b"" at the end."""
        ...


class PieceReader:
    """Makes an iterator of pieces readable; read() returns one piece, whatever its size."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, _: int, /) -> bytes:
        """Return the next piece, b"" at the end."""
        return next(self._pieces, b"")


def read_ahead(source: Readable, work: Callable[[BinaryIO], T]) -> T:
    """Return `work(source)`; this thread reads `source` ahead while another runs `work`.

    Exceptions of the source are raised here unchanged. When `work` stops reading, reading ahead stops too.
    """
    ahead = _Ahead()
    reader = cast("BinaryIO", ahead)
    while ahead.held < _SHORT:
        if not ahead.put(source.read(_PIECE)):
            return work(reader)
    with ThreadPoolExecutor(1, thread_name_prefix="unpack") as pool:
        future = pool.submit(work, reader)
        future.add_done_callback(lambda _: ahead.end())
        try:
            while ahead.put(source.read(_PIECE)):
                pass
        except BaseException as error:
            ahead.end(error)
            raise
        try:
            return future.result()
        finally:  # its exception would reference this frame, and the frame it
            del future


class _Ahead:
    """A bounded queue of bytes between a thread that puts and one that reads."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._error: BaseException | None = None
        self.held = 0

    def put(self, data: bytes) -> bool:
        """Add a piece once there is room; False when the reader has stopped or `data` is empty."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self.held < _AHEAD)
            if not data:
                self._ended = True
            if not self._ended:
                self._pieces.append(data)
                self.held += len(data)
            self._changed.notify()
            return not self._ended

    def end(self, error: BaseException | None = None) -> None:
        """End the queue and wake both threads. error: raised to the reader."""
        with self._changed:
            self._ended, self._error = True, error
            self._changed.notify()

    def read(self, _: int = -1, /) -> bytes:
        """Return the next piece, b"" at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended or self._pieces)
            if self._error is not None:
                raise self._error
            if not self._pieces:
                return b""
            data = self._pieces.popleft()
            self.held -= len(data)
            self._changed.notify()
            return data
