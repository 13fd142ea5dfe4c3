"""What is still measured after a look, and where the next session's time goes. Pure: no clock, no journal.

The control arms cost time and decide nothing, so they stay only where an arm that they serve is open: the
baseline while any arm is, a second copy while what it copies is, the positive control until it was found.

What is left of the budget goes where it decides most: scenarios whose next verdict fits into it come first,
of the seven sentences those that run by turns, their controls among them, then those about the run's
subject, then those about other systems, and the suite's own questions last; the cheapest verdict before
others. Those out of reach share what remains, half of it where verdicts that fit come after them, spread
over the sessions that may come, since one more session is worth more than one more visit in the same. Each
look makes a new forecast. Metrics that only explain get what no open claim can use.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence

import msgspec

from bench.model import Plan

BEHIND = 0.5
"""Of the time that would go to what does not fit: for verdicts in reach that come after it."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A scenario that is open for at least one arm.

    to_go: sessions until the nearest of its verdicts (at least 1, inf: not in sight), with `blocks` in each.
    block_s: seconds of one block of it, all arms that attend. most: blocks that a session may have. least:
    that it has if any; the median of fewer pairs bears no outlier, and weighs as much as any other session's.
    sentence: it decides one of the seven sentences. subject: about the system that the run is for, which has
    a second copy. by_turns: its arms are measured in the same milliseconds, so that time is what it lacks.
    """

    scenario: str
    primary: bool
    to_go: float
    block_s: float
    blocks: int
    most: int
    least: int = 1
    sentence: bool = True
    subject: bool = True
    by_turns: bool = True

    @property
    def tier(self) -> int:
        """Which come first. What one more session decides is not put off for what may never be.

        By turns, noise falls with time. What arms do one after the other differs by more than that, and would
        use up the time with forecasts that do not come true.
        """
        if not self.sentence:
            return 3
        if self.by_turns or self.to_go <= 1:
            return 0
        return 1 if self.subject else 2

    @property
    def session_s(self) -> float:
        """Seconds of a whole session of it."""
        return self.block_s * self.blocks

    @property
    def reach_s(self) -> float:
        """Seconds until its next verdict."""
        return self.session_s * self.to_go


def attending(plan: Plan, undecided: Collection[str], found: Collection[str] = ()) -> frozenset[str]:
    """The arms that a scenario still needs. undecided: judged arms open there; found: decided ones."""
    if not undecided:
        return frozenset()
    needed = {plan.baseline, *undecided}
    if plan.positive and plan.positive.name not in found:
        needed.add(plan.positive.name)
    return frozenset(needed | {copy for copy, original in plan.copies if original in needed})


def allocate(candidates: Iterable[Candidate], left_s: float, sessions_left: int) -> dict[str, int]:
    """Blocks that each scenario gets in the next session; those without any are not named.

    left_s: of the budget. sessions_left: that may follow, the next one included (at least 1). While a primary
    candidate is there, at least one is visited, whatever it costs: the clock ends a run, a forecast does not.
    """
    ordered = sorted(candidates, key=lambda one: (one.reach_s, one.session_s, one.scenario))
    given: dict[str, int] = {}
    all_whole = True
    for tier in range(4):
        mine = [one for one in ordered if one.primary and one.tier == tier]
        behind = any(one.primary and one.tier > tier and one.to_go <= sessions_left for one in ordered)
        beyond = (1.0 - BEHIND if behind else 1.0) if all_whole else 0.0
        found, whole = _tier(mine, left_s, sessions_left, beyond)
        given |= found
        left_s -= _spent(mine, found, sessions_left)
        all_whole = all_whole and whole
    if all_whole:
        given |= _share([one for one in ordered if not one.primary], left_s, sessions_left)
    primary = [one for one in ordered if one.primary]
    if primary and not any(one.scenario in given for one in primary):
        cheapest = min(primary, key=lambda one: (one.tier, one.block_s, one.scenario))
        return {cheapest.scenario: cheapest.least}
    return given


def _tier(
    ordered: Sequence[Candidate], left_s: float, sessions_left: int, beyond_share: float
) -> tuple[dict[str, int], bool]:
    """Blocks of those that decide alike much, nearest verdict first, and whether all have what they ask for.

    beyond_share: of the time that verdicts in reach leave, for those that do not fit.
    """
    near: list[Candidate] = []
    beyond: list[Candidate] = []
    need_s = 0.0
    for one in ordered:
        fits = one.to_go <= sessions_left and need_s + one.reach_s <= left_s
        (near if fits else beyond).append(one)
        need_s += one.reach_s if fits else 0.0
    shared = _share(beyond, beyond_share * (left_s - need_s), sessions_left)
    if any(shared.get(one.scenario, 0) < one.blocks for one in beyond):
        return {one.scenario: one.blocks for one in near} | shared, False
    # Time that these verdicts do not ask for by the forecast makes them the surer.
    spare_s = left_s - need_s - sessions_left * sum(one.session_s for one in beyond)
    return _fuller(near, spare_s) | shared, True


def _spent(candidates: Iterable[Candidate], given: Mapping[str, int], sessions_left: int) -> float:
    """Seconds until their verdicts, at most over the sessions that are left."""
    return sum(min(one.to_go, sessions_left) * one.block_s * given.get(one.scenario, 0) for one in candidates)


def _fuller(near: Sequence[Candidate], left_s: float) -> dict[str, int]:
    """As many more blocks for each as `left_s` allows until its verdict, in proportion, up to its most."""
    need_s = sum(one.reach_s for one in near)
    factor = 1.0 + max(0.0, left_s) / need_s if need_s > 0 else 1.0
    return {one.scenario: min(one.most, math.floor(one.blocks * factor)) for one in near}


def seconds_ahead(candidates: Iterable[Candidate], left_s: float, sessions_left: int) -> float:
    """About how long the run goes on: until all is decided, at most until the budget is spent."""
    return min(left_s, sum(_until(one, sessions_left) for one in candidates if one.primary))


def _until(one: Candidate, sessions_left: int) -> float:
    return one.session_s * min(one.to_go, sessions_left)


def _share(candidates: Sequence[Candidate], left_s: float, sessions_left: int) -> dict[str, int]:
    """About the same part of its blocks for each, so that `left_s` lasts for all sessions.

    The least that a session may have of each, the cheapest first, while that much is left at all.
    """
    given: dict[str, int] = {}
    spent = 0.0
    for one in sorted(candidates, key=lambda one: (one.least * one.block_s, one.scenario)):
        if spent + one.least * one.block_s <= left_s:
            given[one.scenario] = one.least
            spent += one.least * one.block_s
    room = left_s / sessions_left - spent
    while True:
        more = [one for one in candidates if given.get(one.scenario, one.blocks) < one.blocks]
        fits = [one for one in more if one.block_s <= room]
        if not fits:
            return given
        least = min(fits, key=lambda one: (given[one.scenario] / one.blocks, one.block_s, one.scenario))
        given[least.scenario] += 1
        room -= least.block_s
