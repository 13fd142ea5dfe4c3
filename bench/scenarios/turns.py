"""Slices of several arms at once, by turns of milliseconds on one CPU (bench/workloads/turns.c).

Where a machine is shared, what disturbs it lasts for tenths of a second: slices one after the other meet
different weather, and slices by turns the same. On a cloud machine whose neighbours were busy, that made
pairs of the host with itself two to five times as close (docs/metrics.md).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from bench.scenarios.base import Turns

T = TypeVar("T")

SLOT_NS = 4_000_000
"""How long one arm runs before the next one's turn. The shorter, the more alike are the disturbances that
they meet. But stopping and continuing costs a program CPU time, and one in a container some 5 µs more: with
slots of 1 ms a container's work took 1.2 % more CPU time than the host's, with 4 ms 0.4 ± 0.5 %."""

AHEAD_NS = 20_000_000
"""Until the first turn: all arms have their programs by then."""


def by_turns(count: int, once: Callable[[Turns], T], clock: Callable[[], int] = time.monotonic_ns) -> list[T]:
    """Call `once` for each of `count` places, each in a thread that waits for its program; in their order."""
    start_ns = clock() + AHEAD_NS
    places = [Turns(start_ns=start_ns, slot_ns=SLOT_NS, index=index, count=count) for index in range(count)]
    with ThreadPoolExecutor(max_workers=count, thread_name_prefix="turn") as pool:
        return list(pool.map(once, places))
