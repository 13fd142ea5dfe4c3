"""Frames of a stream: a head of 8 bytes (kind, three zeros, length in big-endian), then the payload.

The first three kinds are Docker's (attach, exec, logs); `POST /nn/run` uses all, see
runtime.cli.connection.run_exchange.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

STDIN, STDOUT, STDERR, END, SIGNAL, RESIZE = 0, 1, 2, 4, 5, 6
HEAD_SIZE = 8


def frame(kind: int, payload: bytes) -> bytes:
    """Return head and payload."""
    return bytes((kind, 0, 0, 0)) + len(payload).to_bytes(4, "big") + payload


class FrameReader:
    """Cuts what comes into pieces of frames, without waiting for whole ones and without copying."""

    __slots__ = ("_head", "_inside", "_kind", "_left")

    def __init__(self) -> None:
        self._head = b""
        self._inside = False
        self._kind = 0
        self._left = 0

    def split(self, data: "bytes | memoryview") -> "Iterator[tuple[int, memoryview, bool]]":
        """Yield kind, payload (or a part of it), and whether the frame ends with it. data: as received."""
        view = memoryview(data)
        while view:
            if not self._inside:
                missing = 8 - len(self._head)
                self._head += view[:missing]
                view = view[missing:]
                if len(self._head) < 8:
                    return
                self._kind, self._left = self._head[0], int.from_bytes(self._head[4:], "big")
                self._head = b""
                self._inside = self._left > 0
                if not self._left:
                    yield self._kind, view[:0], True
                continue
            piece = view[: self._left]
            view = view[len(piece) :]
            self._left -= len(piece)
            self._inside = self._left > 0
            yield self._kind, piece, not self._left

    @property
    def within(self) -> bool:
        """Whether a frame has begun and is not whole."""
        return self._inside or bool(self._head)
