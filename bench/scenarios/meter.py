"""CPU seconds for each GiB on the wire, counted on the host while the middle of a transfer crosses it."""

from __future__ import annotations

import time
from typing import Protocol

from bench.scenarios import host_cpu_time
from bench.scenarios.base import Reading, ScenarioError

GIB = 1 << 30
BACKGROUND_S = 0.03
MOST_BACKGROUND = 0.2
"""Share of the host's CPUs that may go to what is neither idle, nor a bystander, nor the transfer: processes
that come and go. Counted as the transfer's it would make all arms alike; so it is subtracted, and beyond this
share the reading is invalid."""

_POLL_S = 0.004
_PATIENCE_S = 30.0


class Counter(Protocol):
    """What counts the bytes on the wire."""

    def sent_bytes(self) -> int:
        """Bytes carried towards the peer so far."""


class Meter:
    """The count of one transfer of `total_bytes`: background(), then watch() beside it, then background().

    The window opens when an eighth of the bytes have left and closes at seven eighths, so that neither the
    start of iperf3 nor its end and report are in it. From its busy time that of the background is taken away,
    which is the mean of a moment before and one after.
    """

    def __init__(self, wire: Counter, total_bytes: int) -> None:
        self._wire = wire
        self._total = total_bytes
        self._backgrounds: list[float] = []
        self._window: tuple[host_cpu_time.Busy, host_cpu_time.Busy, int] | None = None

    def background(self) -> None:
        """Count for a moment what the host does without us."""
        first = host_cpu_time.read()
        time.sleep(BACKGROUND_S)
        last = host_cpu_time.read()
        self._backgrounds.append(last.since(first) / ((last.at_ns - first.at_ns) / 1e9))

    def watch(self) -> None:
        """Follow a transfer that was just asked for; returns after the window, or when nothing moves."""
        before = self._wire.sent_bytes()
        if not self._reach(before + self._total // 8):
            return
        first, first_bytes = host_cpu_time.read(), self._wire.sent_bytes()
        if self._reach(before + self._total * 7 // 8):
            self._window = first, host_cpu_time.read(), self._wire.sent_bytes() - first_bytes

    def reading(self, metric: str) -> Reading:
        """What was counted. Raises ScenarioError when the transfer did not cross the wire in time."""
        if self._window is None:
            raise ScenarioError(
                f"{metric}: the middle of the transfer did not cross the wire within {_PATIENCE_S:g} s; is "
                "the wire the route to the remote peer?"
            )
        first, last, sent = self._window
        wall_s = (last.at_ns - first.at_ns) / 1e9
        background = sum(self._backgrounds) / len(self._backgrounds) if self._backgrounds else 0.0
        own_s = max(0.0, last.since(first) - background * wall_s)
        share = background / first.cpus
        reason = ""
        if share > MOST_BACKGROUND or own_s == 0:
            reason = f"processes that came and went used {share:.0%} of the host's CPUs beside the transfer"
        return Reading(
            metric=metric,
            value=own_s / sent * GIB,
            start_ns=first.at_ns,
            duration_ns=last.at_ns - first.at_ns,
            valid=not reason,
            reason=reason,
        )

    def _reach(self, goal: int) -> bool:
        deadline = time.monotonic() + _PATIENCE_S
        while self._wire.sent_bytes() < goal:
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True
