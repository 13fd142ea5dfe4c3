"""Run a few lines on given CPUs, for programs started there to inherit."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


@contextmanager
def pinned(cpus: Sequence[int]) -> Iterator[None]:
    """Keep the calling thread on `cpus` inside the block; () or the present set changes nothing."""
    before = os.sched_getaffinity(0)
    if not cpus or set(cpus) == before:
        yield
        return
    os.sched_setaffinity(0, cpus)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
