"""A check of the measurement itself: does an instance's clock run as fast as the host's?

A virtual machine has its own clock, and most tools report figures by the clock of the place they run in. So
that clock is read between two stamps of the host, repeatedly. Containers share the host's clock; for them the
same check shows its own resolution.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import msgspec

from bench.backends.base import BackendError, Channel
from bench.model import Metric
from bench.scenarios.base import Context, Reading, ScenarioError, Workload

FAMILY = "check"
CLOCK = ("/opt/ninetynine/clock",)
WANTED_ERROR = 0.001
"""A tenth of the 1 % that verdicts are about; the check ends once its error bound is this low."""

LONGEST_S = 2.0
MOST_ERROR = 0.005
"""If the bound is still wider after LONGEST_S the reading is invalid: it could not detect 1 %."""

_SETTLE = 10
"""First answers that are ignored, while the program's pages are read in and the channel warms up."""

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
    """One reading of the instance's clock, with the host's clock just before and after it, ns."""

    before_ns: int
    there_ns: int
    after_ns: int

    @property
    def width_ns(self) -> int:
        """How long the question took; the clock was read at some point during it."""
        return self.after_ns - self.before_ns

    @property
    def middle_ns(self) -> float:
        """The host's time of the reading, off by half the width at most."""
        return (self.before_ns + self.after_ns) / 2


class Rate(msgspec.Struct, frozen=True):
    """Seconds there per second here; `error` bounds the distance from the truth."""

    value: float
    error: float


def rate(first: Moment, last: Moment) -> Rate:
    """Return the rate between two moments.

    Each moment is within half its width of its middle, so the host's time between them is known to within
    e = (width + width) / 2, and the ratio to within ratio x e / (time - e).
    """
    here_ns = last.middle_ns - first.middle_ns
    off_ns = (first.width_ns + last.width_ns) / 2
    value = (last.there_ns - first.there_ns) / here_ns if here_ns > 0 else 0.0
    return Rate(value, value * off_ns / (here_ns - off_ns) if here_ns > off_ns else float("inf"))


def observe(look: Callable[[], Moment], longest_s: float = LONGEST_S) -> tuple[Rate, Moment, Moment]:
    """Read until two moments bound the rate well enough, or for `longest_s`; return the best pair.

    The first end is the tightest of the first readings; every later one is a candidate for the other end.
    """
    first = min((look() for _ in range(_SETTLE)), key=lambda moment: moment.width_ns)
    last = look()
    best = rate(first, last)
    while best.error > WANTED_ERROR and last.after_ns - first.before_ns < longest_s * 1e9:
        last = look()
        best = min(best, rate(first, last), key=lambda found: found.error)
    return best, first, last


class ClockRate(Workload, kw_only=True):
    """Reads the clock by a small program in the instance."""

    name: str = "check.clock"
    metrics: tuple[Metric, ...] = (CLOCK_RATE,)
    cost_s: float = 0.06
    every_nth_block: int = 16

    def run(self, context: Context) -> list[Reading]:
        """Compare the clocks once. Raises ScenarioError."""
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
    """Read the instance's clock once. Raises BackendError, and ValueError if the answer is not a number."""
    before_ns = time.monotonic_ns()
    channel.write(b"?")
    answer = channel.read_until(b"\n", _TIMEOUT_S)
    return Moment(before_ns, int(answer), time.monotonic_ns())


def reading(found: Rate, first: Moment, last: Moment) -> Reading:
    """Return the reading; it is invalid if the bound is too wide to be of use."""
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
