"""A lock of the host: one process chooses a subnet at a time, since a choice is visible only as a bridge."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from runtime.network.host.settings import DIRECTORY

_PATIENCE_S = 5.0
"""How long to wait for another process; one that takes longer hangs, and is ignored."""


@contextlib.contextmanager
def held(directory: Path = DIRECTORY) -> Iterator[None]:
    """Hold the host's lock; without one where its file cannot be created."""
    with _opened(directory) as lock:
        for pause in _attempts(lock):
            time.sleep(pause)
        yield


@contextlib.asynccontextmanager
async def held_in_loop(directory: Path = DIRECTORY) -> AsyncIterator[None]:
    """As held(), without blocking the event loop while waiting."""
    import asyncio  # an Engine in a process does not need it

    with _opened(directory) as lock:
        for pause in _attempts(lock):
            await asyncio.sleep(pause)
        yield


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int | None]:
    with contextlib.ExitStack() as held:
        lock = None
        with contextlib.suppress(OSError):
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            lock = os.open(directory / "subnets.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            held.callback(os.close, lock)
        yield lock


def _attempts(lock: int | None) -> Iterator[float]:
    """Try to take the lock; yield the seconds to wait before each further attempt."""
    deadline = time.monotonic() + _PATIENCE_S
    while lock is not None and time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        yield 0.005
