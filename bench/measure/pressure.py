"""Whether a slice was taken under pressure from outside, so that it is to be taken once more.

The rule is the same for all arms and never looks at the value: it asks whether the hypervisor took CPU time
away, or tasks waited for a CPU, far more than is usual *for this scenario on this arm*. An arm's own threads
wait for one another (a client and a server on one core), which is part of what it costs and not a reason to
repeat: that is why its own median is subtracted, and why a host under constant load repeats nothing. A
program of one thread has nobody to wait for: what is usual for it is the same on every arm whose CPU is the
host's own, so it is known after a few slices of any arm, from the first session on.
"""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence

from bench.measure.noise import SliceConditions
from bench.model import ALL, Place, Plan, Sample

STEAL_MORE = 0.03
"""Steal above the usual, as a share of the planned CPUs' time: three times the margin a verdict turns on."""

STALL_MORE = 0.20
"""Pressure above the usual, as a share of the slice. Some task waited, not necessarily ours, so this is more
than the slice itself can have lost; own waiting varies by several points from slice to slice."""

ONE_THREAD_MORE = 0.10
"""The same for programs of one thread, whose usual pressure is small and known from all arms together."""

ONE_THREAD = frozenset({"cpu", "memory"})
"""Families of which each slice is one thread at work."""

KNOWN = 4
"""Slices of a scenario on an arm before its pressure is compared: a median of fewer says nothing. Steal is
never an arm's own doing, so before that it is taken to be zero usually."""

SHORT = 0.5
"""Where one tick of the kernel's counters is this share of a slice or more, they say nothing about it: on two
CPUs for slices below 10 ms."""

TAKES = 3
"""Of one slice at most, the first included."""

REPEAT_SHARE = 0.10
"""Of the budget that all repetitions may take."""

ONE_SHARE = 0.01
"""Of the budget that one repetition may take: a slice of many seconds is not worth the time of ten others."""


class Usual:
    """What is usual for each scenario on each arm, learned from all slices so far.

    shared: places of programs of one thread, which learn from one another.
    """

    def __init__(self, samples: Iterable[Sample] = (), shared: Container[Place] = ()) -> None:
        self._shared = shared
        self._stalls: dict[Place, list[float]] = {}
        self._steals: dict[Place, list[float]] = {}
        slices = {(one.order, one.take): one for one in samples}
        for one in slices.values():
            found = SliceConditions(stall_share=one.stall_share, steal_share=one.steal_share)
            self.learn((one.scenario, one.arm), found)

    def learn(self, place: Place, conditions: SliceConditions) -> None:
        """Take one more slice into account, whatever is made of it."""
        if conditions.tick_share > SHORT:
            return
        place = self._of(place)
        if conditions.stall_share is not None:
            self._stalls.setdefault(place, []).append(conditions.stall_share)
        if conditions.steal_share is not None:
            self._steals.setdefault(place, []).append(conditions.steal_share)

    def pressure(self, place: Place, conditions: SliceConditions) -> str:
        """Why the slice was under pressure, "" where it was not; asked before it is learned."""
        if conditions.tick_share > SHORT:
            return ""
        more = ONE_THREAD_MORE if place in self._shared else STALL_MORE
        place = self._of(place)
        steals, stalls = self._steals.get(place, []), self._stalls.get(place, [])
        usual = statistics.median(steals) if len(steals) >= KNOWN else 0.0
        steal = conditions.steal_share
        if steal is not None and steal - conditions.tick_share > usual + STEAL_MORE:
            return (
                f"taken under pressure (the hypervisor took {steal:.0%} of the CPUs' time, usual {usual:.0%})"
            )
        stall = conditions.stall_share
        if stall is None or len(stalls) < KNOWN:
            return ""
        usual = statistics.median(stalls)
        if stall > usual + more:
            return f"taken under pressure (tasks waited for a CPU in {stall:.0%} of it, usual {usual:.0%})"
        return ""

    def _of(self, place: Place) -> Place:
        return (place[0], ALL) if place in self._shared else place


def one_thread(plan: Plan, family: Mapping[str, str]) -> frozenset[Place]:
    """The places of a plan that learn from one another; family: of each scenario. A guest's CPU is a program
    of several threads on the host, so guests learn by themselves."""
    arms = [arm.name for arm in plan.arms if arm.kind != "vm"]
    names = [name for name in plan.scenarios if family.get(name) in ONE_THREAD]
    return frozenset((name, arm) for name in names for arm in arms)


def repeated(samples: Sequence[Sample]) -> str:
    """A note for the run's reader: how many slices were taken again, on which arms; "" for none."""
    again = {(one.order, one.take): one for one in samples if one.set_aside == "pressure"}
    if not again:
        return ""
    arms = Counter(one.arm for one in again.values())
    whole = len({(one.order, one.take) for one in samples})
    each = ", ".join(f"{arm} {count}" for arm, count in sorted(arms.items()))
    return f"{len(again)} of {whole} slices were taken under pressure and repeated ({each})"
