"""What is still measured after a look, and where the next session's time goes. Pure: no clock, no journal.

The control arms cost time and decide nothing, so they stay only where an arm that they serve is open: the
baseline while any arm is, a second copy while what it copies is, the positive control until it was found.

What is left of the budget goes where it decides most: scenarios whose next verdict fits into it come first,
the cheapest verdict first, and are visited in full; those out of reach share what remains, spread over the
sessions that may come, since one more session is worth more than one more visit in the same. Each look makes
a new forecast. Metrics that only explain get what no open claim can use.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import msgspec

from bench.model import Plan


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A scenario that is open for at least one arm.

    to_go: sessions until the nearest of its verdicts (at least 1, inf: not in sight). block_s: seconds of one
    block of it, all arms that attend. blocks: how many the plan has for the next session.
    """

    scenario: str
    primary: bool
    to_go: float
    block_s: float
    blocks: int

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
    beyond: list[Candidate] = []
    for one in (one for one in ordered if one.primary):
        if one.to_go <= sessions_left and one.reach_s <= left_s:
            given[one.scenario] = one.blocks
            left_s -= one.reach_s
        else:
            beyond.append(one)
    shared = _share(beyond, left_s, sessions_left)
    if not given and beyond and not shared:
        cheapest = min(beyond, key=lambda one: (one.block_s, one.scenario))
        shared[cheapest.scenario] = 1
    if any(shared.get(one.scenario, 0) < one.blocks for one in beyond):
        return given | shared
    left_s -= sessions_left * sum(one.session_s for one in beyond)
    return given | shared | _share([one for one in ordered if not one.primary], left_s, sessions_left)


def seconds_ahead(candidates: Iterable[Candidate], left_s: float, sessions_left: int) -> float:
    """About how long the run goes on: until all is decided, at most until the budget is spent."""
    return min(left_s, sum(_until(one, sessions_left) for one in candidates if one.primary))


def _until(one: Candidate, sessions_left: int) -> float:
    return one.session_s * min(one.to_go, sessions_left)


def _share(candidates: Sequence[Candidate], left_s: float, sessions_left: int) -> dict[str, int]:
    """About the same part of its blocks for each, so that `left_s` lasts for all sessions.

    One block of each at the least, the cheapest first, while that much is left at all.
    """
    given: dict[str, int] = {}
    spent = 0.0
    for one in sorted(candidates, key=lambda one: (one.block_s, one.scenario)):
        if spent + one.block_s <= left_s:
            given[one.scenario] = 1
            spent += one.block_s
    room = left_s / sessions_left - spent
    while True:
        more = [one for one in candidates if given.get(one.scenario, one.blocks) < one.blocks]
        fits = [one for one in more if one.block_s <= room]
        if not fits:
            return given
        least = min(fits, key=lambda one: (given[one.scenario] / one.blocks, one.block_s, one.scenario))
        given[least.scenario] += 1
        room -= least.block_s
