"""One daemon of a host chooses subnets at a time: what it has chosen shows only when its bridge is there."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

from runtime.network.settings import DIRECTORY

_PATIENCE_S = 5.0
"""How long to wait for another one: who takes longer hangs, and is waited for no more."""


@contextlib.asynccontextmanager
async def alone(directory: Path = DIRECTORY) -> AsyncIterator[None]:
    """Hold the host's lock, unless there can be none."""
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):
            directory.mkdir(mode=0o755, parents=True, exist_ok=True)
            lock = os.open(directory / "subnets.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            held.callback(os.close, lock)
            await _take(lock)
        yield


async def _take(lock: int) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        await asyncio.sleep(0.005)
