"""Checks of the measuring itself: does an instance's clock run as fast as the host's?

A virtual machine has a clock of its own, and most tools tell figures by the clock of where they run. So that
clock is read between two stamps of the host, over and over. Containers and the host share one clock: there
the same check shows what it cannot tell.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Literal

import msgspec

from bench.backends.base import BackendError, Channel, InstanceSpec
from bench.model import Metric
from bench.scenarios.base import Context, Reading, ScenarioError
from bench.scenarios.tool import VOLUME

FAMILY = "check"
CLOCK = ("/opt/ninetynine/clock",)
WANTED_ERROR = 0.001
"""A tenth of the 1 % that verdicts are about; once the bound is so low the check ends."""

LONGEST_S = 2.0
MOST_ERROR = 0.005
"""With a wider bound after the longest time the reading is invalid: it could not tell 1 %."""

_SETTLE = 10
"""First answers that are passed over: the program's pages come in and the way is warmed up."""

_TIMEOUT_S = 10.0

CLOCK_RATE = Metric(
    name="check.clock_rate",
    unit="ratio",
    better="higher",
    role="info",
    definition="Seconds that CLOCK_MONOTONIC in the instance advances for each second of the host's "
    "(bench/workloads/clock.c): the instance's clock is read between two stamps of the host, over and over, "
    f"until the two tightest pairs of stamps bound the ratio within {WANTED_ERROR:.1%}, at most for "
    f"{LONGEST_S:g} s; invalid when the bound is wider than {MOST_ERROR:.1%} by then. 1 where host and "
    "instance share a clock.",
)


class Moment(msgspec.Struct, frozen=True):
    """One reading: the instance's clock, and the host's just before and just after it, ns."""

    before_ns: int
    there_ns: int
    after_ns: int

    @property
    def width_ns(self) -> int:
        """How long the question took; the reading was taken at some time within."""
        return self.after_ns - self.before_ns

    @property
    def middle_ns(self) -> float:
        """The best guess of when on the host; off by half the width at most."""
        return (self.before_ns + self.after_ns) / 2


class Rate(msgspec.Struct, frozen=True):
    """Seconds there for each second here, `error` at most away from the truth."""

    value: float
    error: float


def rate(first: Moment, last: Moment) -> Rate:
    """The rate between two moments.

    Each end lies within half its width of the middle, so the host's time between them is known to within
    e = (width + width) / 2, and with it the ratio to within ratio x e / (time - e).
    """
    here_ns = last.middle_ns - first.middle_ns
    off_ns = (first.width_ns + last.width_ns) / 2
    value = (last.there_ns - first.there_ns) / here_ns if here_ns > 0 else 0.0
    return Rate(value, value * off_ns / (here_ns - off_ns) if here_ns > off_ns else float("inf"))


def observe(look: Callable[[], Moment], longest_s: float = LONGEST_S) -> tuple[Rate, Moment, Moment]:
    """Look until two moments bound the rate well enough or the time is up; the best pair found.

    The first end is the tightest of the first looks; every later look is a candidate for the other end.
    """
    first = min((look() for _ in range(_SETTLE)), key=lambda moment: moment.width_ns)
    last = look()
    best = rate(first, last)
    while best.error > WANTED_ERROR and last.after_ns - first.before_ns < longest_s * 1e9:
        last = look()
        best = min(best, rate(first, last), key=lambda found: found.error)
    return best, first, last


class ClockRate(msgspec.Struct, kw_only=True):
    """Asks a small program in the instance for its clock."""

    name: str = "check.clock"
    family: str = FAMILY
    metrics: tuple[Metric, ...] = (CLOCK_RATE,)
    cost_s: float = 0.06
    every: int = 16
    loads: bool = False
    kind: Literal["slice", "instance"] = "slice"

    def spec(self) -> InstanceSpec:
        """The instance of all slices without a network."""
        return InstanceSpec(volume=VOLUME)

    def run(self, context: Context) -> list[Reading]:
        """One comparison. Raises ScenarioError."""
        if context.instance is None:
            raise ScenarioError(f"{self.name}: the slice needs an instance and the session started none")
        channel = context.instance.open(CLOCK)
        try:
            for _ in range(_SETTLE):
                ask(channel)
            found, first, last = observe(lambda: ask(channel))
        except (BackendError, ValueError) as error:
            raise ScenarioError(f"read the clock of {context.backend.name}: {error}") from error
        finally:
            channel.close()
        return [reading(found, first, last)]


def ask(channel: Channel) -> Moment:
    """Read the instance's clock once. Raises BackendError, and ValueError for an answer that is no number."""
    before_ns = time.monotonic_ns()
    channel.write(b"?")
    answer = channel.read_until(b"\n", _TIMEOUT_S)
    return Moment(before_ns, int(answer), time.monotonic_ns())


def reading(found: Rate, first: Moment, last: Moment) -> Reading:
    """The reading, invalid where the bound is too wide to tell anything."""
    reason = ""
    if found.error > MOST_ERROR:
        reason = f"the clock's rate is known to within {found.error:.1%} only: the host is too busy"
    return Reading(
        metric=CLOCK_RATE.name,
        value=found.value,
        start_ns=first.before_ns,
        duration_ns=last.after_ns - first.before_ns,
        valid=not reason,
        reason=reason,
    )


SCENARIOS = (ClockRate(),)
