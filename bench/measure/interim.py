"""Interim analyses of a run that looks at its data: which (scenario, arm) are open, what comes next.

Every answer follows from the plan, the samples of whole sessions and what earlier looks closed, all of which
are in the journal: a run that was cut and goes on decides what it would have decided.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence

import msgspec

from bench.judging.deciding import Progress
from bench.measure.looks import Candidate, allocate, attending, seconds_ahead
from bench.model import Closed, Place, Plan, Sample, Step, Verdict
from bench.plan import spread

Decide = Callable[[Sequence[Sample], int, Sequence[Closed]], Sequence[Progress]]
"""(samples of whole sessions, how many those are, what earlier looks closed) → how far each pair is."""


class FamilyTally(msgspec.Struct, frozen=True, kw_only=True):
    """The same of one family. furthest: of its pairs the one that needs most, open ones first."""

    family: str
    decided: int
    pairs: int
    furthest: Verdict | None = None


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the (scenario, arm) pairs that decide a claim a look found decided."""

    sessions: int
    decided: int
    pairs: int
    seconds_left: float
    families: tuple[FamilyTally, ...] = ()

    def __str__(self) -> str:
        text = f"{self.decided} of {self.pairs} decided after session {self.sessions}"
        return text if self.decided == self.pairs else f"{text}; about {self.seconds_left:.0f} s left"


class Interim:
    """What is open. closed: what earlier looks closed, from the journal of a run that goes on."""

    def __init__(self, plan: Plan, decide: Decide, closed: Iterable[Closed] = ()) -> None:
        self.closed = list(closed)
        self._plan = plan
        self._decide = decide
        self._progress: dict[Place, Progress] = {}
        self._silent: frozenset[Place] = frozenset()
        self._sessions = 0
        self._needed: dict[str, frozenset[str]] = {}

    def look(self, samples: Iterable[Sample], sessions: int) -> tuple[Closed, ...]:
        """Look at the first `sessions` sessions; what is decided now and was not at the look before.

        A look that was taken before gives the same again, and changes nothing.
        """
        whole = [one for one in samples if one.session < sessions]
        before = [one for one in self.closed if one.sessions < sessions]
        found = self._decide(whole, sessions, before)
        self._progress = {(one.scenario, one.arm): one for one in found}
        tried = {(one.scenario, one.arm) for one in whole}
        self._silent = frozenset(tried - {(one.scenario, one.arm) for one in whole if one.valid})
        self._sessions = sessions
        known = {(one.scenario, one.arm) for one in before}
        decided = [place for place, one in self._progress.items() if one.decided and place not in known]
        judged = [place for place in decided if place[1] in self._plan.judged]
        self.closed = before + [_closed(place, sessions) for place in judged]
        self._needed = {scenario: self._attending(scenario) for scenario in self._plan.scenarios}
        # Controls and the baseline go when none of the arms that they serve is left.
        served = [place for place in decided if place not in judged and not self.needs(*place)]
        self.closed += [_closed(place, sessions) for place in served]
        return tuple(self.closed[len(before) :])

    def needs(self, scenario: str, arm: str) -> bool:
        """Whether an arm is still to be measured on a scenario, as the last look found."""
        return arm in self._needed.get(scenario, ())

    def undecided(self) -> list[Place]:
        """(scenario, arm) that decide a claim, are open, and have steps left in the plan."""
        return [
            (scenario, arm)
            for scenario in self._plan.scenarios
            for arm in sorted(self._undecided(scenario))
            if self._is_primary((scenario, arm))
        ]

    def tally(self, seconds_left: float) -> Tally:
        """The count of what decides a claim."""
        closed = {(one.scenario, one.arm) for one in self.closed}
        judged = [place for place in self._progress if place[1] in self._plan.judged]
        pairs = [place for place in judged if self._is_primary(place)]
        families: dict[str, list[Place]] = {}
        for place in pairs:
            families.setdefault(place[0].partition(".")[0], []).append(place)
        return Tally(
            sessions=self._sessions,
            decided=len(closed & set(pairs)),
            pairs=len(pairs),
            seconds_left=seconds_left,
            families=tuple(self._of_family(*one, closed) for one in families.items()),
        )

    def _of_family(self, family: str, pairs: list[Place], closed: set[Place]) -> FamilyTally:
        ahead = sorted(pairs, key=lambda one: (one in closed, -self._progress[one].needed))
        rows = [row for one in ahead if (row := self._progress[one].row) is not None]
        return FamilyTally(
            family=family,
            decided=len(closed & set(pairs)),
            pairs=len(pairs),
            furthest=rows[0] if rows else None,
        )

    def candidates(self, steps: Iterable[Step], cost: Callable[[str, str], float]) -> list[Candidate]:
        """What the next session may take. steps: of it; cost: seconds of a visit by scenario and arm."""
        members: dict[str, list[Step]] = {}
        for step in steps:
            if self.needs(step.scenario, step.arm):
                members.setdefault(step.scenario, []).append(step)
        return [self._candidate(scenario, mine, cost) for scenario, mine in members.items()]

    def chosen(
        self, steps: Sequence[Step], cost: Callable[[str, str], float], left_s: float
    ) -> tuple[list[Step], float]:
        """The steps of the next session that are worth their time, and the seconds ahead of the whole run."""
        candidates = self.candidates(steps, cost)
        sessions_left = max(1, self._plan.sessions - self._sessions)
        given = allocate(candidates, max(0.0, left_s), sessions_left)
        blocks = {
            one.scenario: _blocks(steps, one.scenario, given.get(one.scenario, 0)) for one in candidates
        }
        kept = [
            step
            for step in steps
            if step.block in blocks.get(step.scenario, ()) and self.needs(step.scenario, step.arm)
        ]
        return kept, seconds_ahead(candidates, max(0.0, left_s), sessions_left)

    def is_silent(self, step: Step) -> bool:
        """Whether its arm was tried on its scenario and never gave a valid sample."""
        return (step.scenario, step.arm) in self._silent

    def _candidate(
        self, scenario: str, steps: Sequence[Step], cost: Callable[[str, str], float]
    ) -> Candidate:
        blocks = len({step.block for step in steps})
        open_here = {arm: self._progress.get((scenario, arm)) for arm in self._undecided(scenario)}
        deciding = [one for one in open_here.values() if one is not None and one.primary]
        known = deciding or [one for one in open_here.values() if one is not None]
        needed = min((one.needed for one in known), default=math.inf)
        return Candidate(
            scenario=scenario,
            primary=bool(deciding),
            to_go=max(1.0, math.ceil(needed) - self._sessions) if math.isfinite(needed) else math.inf,
            block_s=sum(cost(scenario, step.arm) for step in steps) / blocks,
            blocks=blocks,
        )

    def _attending(self, scenario: str) -> frozenset[str]:
        found = [arm for (name, arm), one in self._progress.items() if name == scenario and one.decided]
        return attending(self._plan, self._undecided(scenario), found)

    def _undecided(self, scenario: str) -> frozenset[str]:
        """Judged arms that are open on a scenario and can still be measured there."""
        closed = {(one.scenario, one.arm) for one in self.closed}
        places = {(scenario, arm) for arm in self._plan.judged} - closed - self._silent
        ends = self._plan.ends
        return frozenset(arm for name, arm in places if ends.get((name, arm), 0) > self._sessions)

    def _is_primary(self, place: Place) -> bool:
        found = self._progress.get(place)
        return found is not None and found.primary


def _closed(place: Place, sessions: int) -> Closed:
    return Closed(scenario=place[0], arm=place[1], sessions=sessions)


def _blocks(steps: Iterable[Step], scenario: str, count: int) -> frozenset[int]:
    """`count` of the blocks that a session has for a scenario, spread over it."""
    there = sorted({step.block for step in steps if step.scenario == scenario})
    return frozenset(there[index] for index in spread(min(count, len(there)), len(there)) if count)
