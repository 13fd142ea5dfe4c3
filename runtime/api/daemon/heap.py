"""The daemon's heap: one arena for all threads, trimmed after work."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import time

_M_ARENA_MAX = -8
_EVERY_S = 10.0
_WORK_S = 0.5
"""CPU time after which a trim may be worth it."""


def use_one() -> None:
    """Let all threads allocate from one malloc arena; call it before any thread is started.

    glibc gives several threads arenas of their own, and each keeps the size of its peak. Under Python's lock
    threads gain little from that.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc
        mallopt(_M_ARENA_MAX, 1)


async def give_back_after_work() -> None:
    """Return the heap's free pages to the kernel after work. Runs until it is cancelled.

    By itself a heap shrinks only from its end, where long-lived objects often are.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    given_s = time.process_time()
    while trim is not None:
        await asyncio.sleep(_EVERY_S)
        if time.process_time() - given_s > _WORK_S:
            gc.collect()
            await asyncio.to_thread(trim, 0)
            given_s = time.process_time()
