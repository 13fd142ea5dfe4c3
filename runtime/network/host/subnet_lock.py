"""One process of a host chooses subnets at a time: what it has chosen shows only when its bridge is there."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from runtime.network.host.settings import DIRECTORY

_PATIENCE_S = 5.0
"""How long to wait for another one: who takes longer hangs, and is waited for no more."""


@contextlib.contextmanager
def alone(directory: Path = DIRECTORY) -> Iterator[None]:
    """Hold the host's lock, unless there can be none."""
    with _opened(directory) as lock:
        for pause in _attempts(lock):
            time.sleep(pause)
        yield


@contextlib.asynccontextmanager
async def alone_in_loop(directory: Path = DIRECTORY) -> AsyncIterator[None]:
    """Hold it as alone() does, and let others go on while waiting for it."""
    import asyncio  # engines in a process do without

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
    """Try to take the lock until it is ours; yield how long to wait before each further attempt."""
    deadline = time.monotonic() + _PATIENCE_S
    while lock is not None and time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        yield 0.005
