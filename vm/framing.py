"""The protocol between host and guest agent (`agent/agent.c` is the other end), as pure functions on bytes.

A frame is `u8 magic, u8 type, u16 zero, u32 channel, u32 length` and `length` bytes, little endian. A
channel is one program; channel 0 is the agent itself. Either side may send as many bytes of a stream as the
other has granted: `WINDOW` at the start, more by GRANT (host to guest) and GRANTED (guest to host).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from enum import IntEnum

import msgspec

from vm.errors import GuestError, VmError

MAGIC = 0x99
MAX_PAYLOAD = 65536
WINDOW = 262144
HEADER = struct.Struct("<BBHII")


class Type(IntEnum):
    """Frame types: below 64 to the guest, above from it."""

    PING = 1
    SPAWN = 2
    STDIN = 3
    STDIN_END = 4
    KILL = 5
    GRANT = 6
    POWER_OFF = 7
    WAKE = 8
    HELLO = 65
    PONG = 66
    STDOUT = 67
    STDERR = 68
    EXIT = 69
    FAILED = 70
    GRANTED = 71


class Frame(msgspec.Struct, frozen=True):
    """One message. `body` holds at most `MAX_PAYLOAD` bytes."""

    type: Type
    channel: int = 0
    body: bytes = b""


class Exit(msgspec.Struct, frozen=True):
    """The end of a program: exit code (or 128 + signal), and the guest's boot clock at start and end, ns."""

    code: int
    started_ns: int
    ended_ns: int


def encode(frame: Frame) -> bytes:
    """Return the bytes of one frame. VmError if the body is longer than `MAX_PAYLOAD`."""
    if len(frame.body) > MAX_PAYLOAD:
        raise VmError(
            f"message to the guest: {len(frame.body)} bytes are more than the {MAX_PAYLOAD} a frame holds; "
            "pass long data by standard input"
        )
    return HEADER.pack(MAGIC, frame.type, 0, frame.channel, len(frame.body)) + frame.body


class Decoder:
    """Turns a byte stream, split anywhere, back into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that `data` completes. GuestError if the stream is corrupt."""
        self._buffer += data
        at = 0
        try:
            while len(self._buffer) - at >= HEADER.size:
                magic, kind, zero, channel, length = HEADER.unpack_from(self._buffer, at)
                if magic != MAGIC or zero or length > MAX_PAYLOAD or kind not in _TYPES:
                    raise GuestError(
                        f"message from the guest: broken frame header "
                        f"{bytes(self._buffer[at : at + HEADER.size]).hex()}; the VM has to be started again"
                    )
                end = at + HEADER.size + length
                if len(self._buffer) < end:
                    break
                body = bytes(self._buffer[at + HEADER.size : end])
                at = end
                yield Frame(Type(kind), channel, body)
        finally:
            del self._buffer[:at]


_TYPES = frozenset(int(t) for t in Type)


def spawn_body(argv: Sequence[str], env: Mapping[str, str] | None = None, cwd: str = "/") -> bytes:
    """Return the body of SPAWN. Without `env` the guest sets PATH and HOME. VmError for an invalid argv."""
    strings = [cwd, *argv, *(f"{key}={value}" for key, value in (env or {}).items())]
    if not argv:
        raise VmError("program in the guest: empty argument list; name at least the program")
    if any("\0" in s for s in strings):
        raise VmError(f"program in the guest: {argv[0]!r} has a NUL byte in an argument; it cannot be passed")
    counts = struct.pack("<HH", len(argv), len(env or {}))
    return counts + b"".join(s.encode(errors="surrogateescape") + b"\0" for s in strings)


def grant_body(stderr: bool, count: int) -> bytes:
    """Return the body of GRANT: the guest may send `count` more bytes of the stream."""
    return struct.pack("<II", stderr, count)


def exit_of(body: bytes) -> Exit:
    """Read the body of EXIT."""
    code, _, started, ended = struct.unpack("<iiqq", body)
    return Exit(code, started, ended)


def numbers(body: bytes) -> tuple[int, ...]:
    """Read a body of signed 64-bit numbers (HELLO, PONG)."""
    return struct.unpack(f"<{len(body) // 8}q", body)


def number(body: bytes) -> int:
    """Read a body of one unsigned 32-bit number (FAILED, GRANTED)."""
    value: int = struct.unpack("<I", body)[0]
    return value
