"""Slices of several arms at once, by turns of milliseconds on one CPU (bench/workloads/turns.c).

Where a machine is shared, what disturbs it lasts for tenths of a second: slices one after the other meet
different weather, and slices by turns the same. On a cloud machine whose neighbours were busy, that made
pairs of the host with itself five to eight times as close (docs/metrics.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bench.scenarios.base import Turns

T = TypeVar("T")

SLOT_NS = 1_000_000
"""How long one arm runs before the next one's turn. The shorter, the more alike are the disturbances that
they meet; but each turn begins with caches that another has used."""

AHEAD_NS = 20_000_000
"""Until the first turn: all arms have their programs by then."""


def by_turns(count: int, once: Callable[[Turns], T], clock: Callable[[], int] = time.monotonic_ns) -> list[T]:
    """Call `once` for each of `count` places, each in a thread that waits for its program; in their order."""
    start_ns = clock() + AHEAD_NS
    places = [Turns(start_ns=start_ns, slot_ns=SLOT_NS, index=index, count=count) for index in range(count)]
    with ThreadPoolExecutor(max_workers=count, thread_name_prefix="turn") as pool:
        return list(pool.map(once, places))
