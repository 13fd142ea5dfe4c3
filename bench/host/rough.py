"""A self-test without root and image: pairs of equal work in this process.

It is rough. One process has no sessions, so pieces of time replace them, and the noise of fresh instances
(page placement, for example) is not seen. So it reports too little noise rather than too much.
"""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Callable

from bench.host.selftest import Tell
from bench.host.spread import Noise, Pairs

PARTS = 4
"""Pieces of time that replace sessions."""

ITERATIONS = 60_000
COPIED = 64 << 20
SENT = 128 << 20
CHUNK = 1 << 20


def crypto() -> None:
    """Derive a key, in 0.02 to 0.1 s."""
    hashlib.pbkdf2_hmac("sha256", b"ninetynine", b"ninetynine", ITERATIONS)


def copying() -> None:
    """Copy a buffer that is far larger than most caches, four times."""
    source = bytearray(COPIED)
    for _ in range(4):
        bytes(source)


def sending() -> None:
    """Send bytes through a pair of sockets from one thread to another, without a device."""
    near, far = socket.socketpair()

    def drain() -> None:
        while far.recv(CHUNK):
            pass

    with near, far:
        reader = threading.Thread(target=drain)
        reader.start()
        block = bytes(CHUNK)
        for _ in range(SENT // CHUNK):
            near.sendall(block)
        near.shutdown(socket.SHUT_WR)
        reader.join()


WORKS: dict[str, Callable[[], None]] = {
    "cpu.crypto": crypto,
    "memory.bandwidth": copying,
    "network.loopback": sending,
}
"""The metric that each work replaces → the work."""


def run(seconds: float, tell: Tell = lambda share, words: None) -> Noise:
    """Measure the noise of the built-in work."""
    begun = time.monotonic()
    pairs = Pairs()
    for session in range(PARTS):
        end = begun + seconds * (session + 1) / PARTS
        block = 0
        while block < 2 or time.monotonic() < end:
            for metric, work in WORKS.items():
                tell(min(1.0, (time.monotonic() - begun) / seconds), f"part {session + 1}: {metric}")
                pairs.add(session, {metric: _timed(work)}, {metric: _timed(work)})
            block += 1
    return Noise(
        kind="rough",
        seconds=round(time.monotonic() - begun, 1),
        spreads=pairs.spreads(list(WORKS)),
        slices={},
    )


def _timed(work: Callable[[], None]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
