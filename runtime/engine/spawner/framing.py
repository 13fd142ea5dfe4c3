"""Messages over a stream socket: a head of two numbers, one msgpack document, and descriptors.

The head gives the length of the document and the number of descriptors. These travel with its first byte, so
they have arrived when its last byte has. Both keep their order, so the number is enough to assign them.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

import msgspec

from runtime.engine.spawner.protocol import Answer, Request

T = TypeVar("T")

LONGEST = 64 << 20
"""Bytes of a message; more is a broken peer."""
_HEAD = struct.Struct("<II")
_CHUNK = 1 << 18
_ROOM = socket.CMSG_SPACE(64 * 4)
_encoder = msgspec.msgpack.Encoder()


class WireError(Exception):
    """The other side broke the protocol."""


class Inbox(Generic[T]):
    """Messages from a socket, as (serial, message, descriptors). The receiver owns the descriptors."""

    def __init__(self, decoder: msgspec.msgpack.Decoder[tuple[int, T]]) -> None:
        self._decoder = decoder
        self._bytes = bytearray()
        self._fds: deque[int] = deque()

    def receive(self, sock: socket.socket) -> bool:
        """Receive what is there; False at the end of the stream.

        Raises OSError: BlockingIOError for nothing.
        """
        # Not socket.recv_fds(): it drops the flags, and the descriptors would be inherited.
        data, beside, _, _ = sock.recvmsg(_CHUNK, _ROOM, socket.MSG_CMSG_CLOEXEC)
        for level, kind, packed in beside:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                self._fds.extend(struct.unpack(f"={len(packed) // 4}i", packed[: len(packed) // 4 * 4]))
        self._bytes += data
        return bool(data)

    def messages(self) -> Iterator[tuple[int, T, list[int]]]:
        """Yield the complete messages. Raises WireError."""
        while len(self._bytes) >= _HEAD.size:
            length, count = _HEAD.unpack_from(self._bytes)
            end = _HEAD.size + length
            if length > LONGEST:
                raise WireError(f"a message of {length} bytes; {LONGEST} is the most")
            if len(self._bytes) < end:
                return
            if len(self._fds) < count:
                raise WireError(f"a message with {count} descriptors came with {len(self._fds)}")
            body = bytes(self._bytes[_HEAD.size : end])
            del self._bytes[:end]
            try:
                serial, message = self._decoder.decode(body)
            except msgspec.MsgspecError as error:
                raise WireError(str(error)) from error
            yield serial, message, [self._fds.popleft() for _ in range(count)]

    def close(self) -> None:
        """Close the descriptors that were not taken."""
        close_all(self._fds)
        self._fds.clear()


class Outbox:
    """Messages to be sent on a non-blocking socket. Keeps duplicates of their descriptors until then."""

    def __init__(self) -> None:
        self._parts: deque[tuple[memoryview, list[int]]] = deque()

    def add(self, serial: int, message: object, fds: Sequence[int] = ()) -> None:
        """Append a message; the descriptors stay the caller's."""
        body = _encoder.encode((serial, message))
        copies = [os.dup(fd) for fd in fds]
        self._parts.append((memoryview(_HEAD.pack(len(body), len(copies)) + body), copies))

    def flush(self, sock: socket.socket) -> bool:
        """Send what the socket takes; True when nothing is left. Raises OSError when the peer is gone."""
        while self._parts:
            data, fds = self._parts[0]
            try:
                sent = socket.send_fds(sock, [data], fds) if fds else sock.send(data)
            except BlockingIOError:
                return False
            close_all(fds)
            if sent < len(data):
                self._parts[0] = (data[sent:], [])
            else:
                self._parts.popleft()
        return True

    def close(self) -> None:
        """Drop what was not sent."""
        while self._parts:
            close_all(self._parts.popleft()[1])


def spawner_inbox() -> Inbox[Request]:
    """Return the spawner's inbox, of requests."""
    return Inbox(msgspec.msgpack.Decoder(tuple[int, Request]))


def daemon_inbox() -> Inbox[Answer]:
    """Return the API process's inbox, of answers."""
    return Inbox(msgspec.msgpack.Decoder(tuple[int, Answer]))


def close_all(fds: Sequence[int] | deque[int]) -> None:
    """Close descriptors."""
    for fd in fds:
        with contextlib.suppress(OSError):
            os.close(fd)
