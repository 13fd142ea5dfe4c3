"""What a long layer needs done to it, on several processors: read, hash, and unpack at the same time.

Short ones stay in one thread, since starting others takes longer than they do.
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
    """SHA-256 in a thread of its own once it is long. For one thread."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()
        self._size = self._held = 0
        self._pool: ThreadPoolExecutor | None = None
        self._waiting: deque[tuple[Future[None], int]] = deque()

    def update(self, data: bytes) -> None:
        """Take the next bytes, which must not change any more."""
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
        """The digest of what came until now."""
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
    """PieceReader, as a source; its reader gets them as they are."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, _: int, /) -> bytes:
        """Return the next one, b"" at the end."""
        return next(self._pieces, b"")


def read_ahead(source: Readable, work: Callable[[BinaryIO], T]) -> T:
    """Return what `work` makes of `source`, which is read in this thread while another one works on it.

    What the source raises is raised here as it is. Where `work` reads no
    further, nothing more is read than what it was ahead.
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
        finally:  # what it raises would hold this frame, and the frame it
            del future


class _Ahead:
    """What was read and not yet worked on: between one thread that puts and one that reads."""

    def __init__(self) -> None:
        self._pieces: deque[bytes] = deque()
        self._changed = threading.Condition()
        self._ended = False
        self._error: BaseException | None = None
        self.held = 0

    def put(self, data: bytes) -> bool:
        """Add a piece, when there is room; False once nothing more is wanted or there is no more."""
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
        """Wake whoever waits: nothing more comes, or is wanted. error: what the reader is to get."""
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
