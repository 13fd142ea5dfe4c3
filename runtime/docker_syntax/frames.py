"""Frames of a stream: an 8 byte head (kind, three zeros, length big-endian), then as many bytes.

The first three kinds are Docker's (attach, exec, logs); `POST /nn/run` has all, see
runtime.cli.connection.run_exchange.
"""

STDIN, STDOUT, STDERR, END, SIGNAL, RESIZE = 0, 1, 2, 4, 5, 6
HEAD_SIZE = 8


def frame(kind: int, payload: bytes) -> bytes:
    """Return head and payload."""
    return bytes((kind, 0, 0, 0)) + len(payload).to_bytes(4, "big") + payload
