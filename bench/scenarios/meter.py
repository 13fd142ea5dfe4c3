"""CPU seconds of the host per GiB on the wire, counted during the middle of a transfer."""

from __future__ import annotations

import time
from typing import Protocol

from bench.scenarios import host_cpu_time
from bench.scenarios.base import Reading, ScenarioError

GIB = 1 << 30
BACKGROUND_S = 0.03
MOST_BACKGROUND = 0.2
"""Share of the host's CPUs that short-lived other processes may use. Their time would make all arms look
alike if it counted as the transfer's, so it is subtracted; beyond this share the reading is invalid."""

_POLL_S = 0.004
_PATIENCE_S = 30.0


class Counter(Protocol):
    """Counts the bytes on the wire."""

    def sent_bytes(self) -> int:
        """Return the bytes sent to the peer so far."""


class Meter:
    """Measures one transfer of `total_bytes`: background(), watch() during the transfer, background().

    The window opens after an eighth of the bytes and closes after seven eighths, so that it contains neither
    the start of iperf3 nor its end and report. The background, which is the mean of a moment before and one
    after, is subtracted from the window's busy time.
    """

    def __init__(self, wire: Counter, total_bytes: int) -> None:
        self._wire = wire
        self._total = total_bytes
        self._backgrounds: list[float] = []
        self._window: tuple[host_cpu_time.Busy, host_cpu_time.Busy, int] | None = None

    def background(self) -> None:
        """Measure briefly what the host does without the transfer."""
        first = host_cpu_time.read()
        time.sleep(BACKGROUND_S)
        last = host_cpu_time.read()
        self._backgrounds.append(last.since(first) / ((last.at_ns - first.at_ns) / 1e9))

    def watch(self) -> None:
        """Follow a transfer that has just been started; return after the window, or if no bytes move."""
        before = self._wire.sent_bytes()
        if not self._reach(before + self._total // 8):
            return
        first, first_bytes = host_cpu_time.read(), self._wire.sent_bytes()
        if self._reach(before + self._total * 7 // 8):
            self._window = first, host_cpu_time.read(), self._wire.sent_bytes() - first_bytes

    def reading(self, metric: str) -> Reading:
        """Return the result. Raises ScenarioError if the transfer did not cross the wire in time."""
        if self._window is None:
            raise ScenarioError(
                f"{metric}: the middle of the transfer did not cross the wire within {_PATIENCE_S:g} s; is "
                "the wire the route to the remote peer?"
            )
        first, last, sent = self._window
        if not sent:
            raise ScenarioError(
                f"{metric}: the suite did not get a CPU until the transfer was over; the host is too busy"
            )
        wall_s = (last.at_ns - first.at_ns) / 1e9
        background = sum(self._backgrounds) / len(self._backgrounds) if self._backgrounds else 0.0
        own_s = max(0.0, last.since(first) - background * wall_s)
        share = background / first.cpus
        reason = ""
        if share > MOST_BACKGROUND or own_s == 0:
            reason = f"short-lived processes used {share:.0%} of the host's CPUs during the transfer"
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
