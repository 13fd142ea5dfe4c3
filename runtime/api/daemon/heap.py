"""The daemon's heap: one for all threads, and given back to the kernel after work."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import time

_M_ARENA_MAX = -8
_EVERY_S = 10.0
_WORK_S = 0.5
"""CPU time after which there may be something to give back."""


def use_one() -> None:
    """Let all threads allocate from one heap; call it before there are any.

    glibc makes one for each of several threads, and each keeps what its busiest moment took. Python's own
    lock leaves the threads little to gain from them.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # glibc
        mallopt(_M_ARENA_MAX, 1)


async def give_back_after_work() -> None:
    """Give the kernel the heap's free pages after each piece of work. Runs until it is cancelled.

    By itself a heap shrinks from its end only, and what lives long often lies there.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    given_s = time.process_time()
    while trim is not None:
        await asyncio.sleep(_EVERY_S)
        if time.process_time() - given_s > _WORK_S:
            gc.collect()
            await asyncio.to_thread(trim, 0)
            given_s = time.process_time()
