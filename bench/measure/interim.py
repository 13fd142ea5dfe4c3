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
from bench.model import Closed, OutOfReach, Place, Plan, Sample, Step, Verdict
from bench.plan import spread

Decide = Callable[[Sequence[Sample], int, Sequence[Closed]], Sequence[Progress]]
"""(samples of whole sessions, how many those are, what earlier looks closed) → how far each pair is."""


SESSION_S = 0.3
"""What a scenario's part in one more session costs beside its visits: its share of starts and warm-ups."""

ALONE_S = 2.5
"""The same where a session is for one scenario only: fresh instances of all arms, and their warm-ups."""

Cost = Callable[[str, str], float]
"""(scenario, arm) → seconds of a visit."""


class FamilyTally(msgspec.Struct, frozen=True, kw_only=True):
    """The same of one family. furthest: of its pairs the one that needs most; open ones that are within reach
    come first, then those that were given up."""

    family: str
    decided: int
    pairs: int
    out_of_reach: int = 0
    furthest: Verdict | None = None


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """How many of the (scenario, arm) pairs that decide a claim a look found decided, or gave up."""

    sessions: int
    decided: int
    pairs: int
    seconds_left: float
    out_of_reach: int = 0
    families: tuple[FamilyTally, ...] = ()

    def __str__(self) -> str:
        text = f"{self.decided} of {self.pairs} decided after session {self.sessions}"
        return text if self.decided == self.pairs else f"{text}; about {self.seconds_left:.0f} s left"


class Interim:
    """What is open. closed, out_of_reach: of earlier looks, from the journal of a run that goes on."""

    def __init__(
        self,
        plan: Plan,
        decide: Decide,
        closed: Iterable[Closed] = (),
        out_of_reach: Iterable[OutOfReach] = (),
    ) -> None:
        self.closed = list(closed)
        self.out_of_reach = list(out_of_reach)
        self._plan = plan
        self._decide = decide
        self._progress: dict[Place, Progress] = {}
        self._silent: frozenset[Place] = frozenset()
        self._sessions = 0
        self._core: dict[str, int] | None = None
        self._positive = plan.positive.name if plan.positive else ""
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
        self._find_needed()
        # Controls and the baseline go when none of the arms that they serve is left.
        served = [place for place in decided if place not in judged and not self.needs(*place)]
        self.closed += [_closed(place, sessions) for place in served]
        return tuple(self.closed[len(before) :])

    def give_up(self, steps: Sequence[Step], cost: Cost, left_s: float) -> tuple[OutOfReach, ...]:
        """Put out of reach what all the time that is left would not decide, were the noise as low as it may
        be.

        It depends on the noise, and on the estimate only where that brings a verdict nearer: so a row near
        its margin is not given up for lying there. steps: of the next session.
        """
        sessions_left = max(1, self._plan.sessions - self._sessions)
        found = [
            OutOfReach(
                scenario=scenario, arm=arm, sessions=self._sessions, seconds=self._seconds(one, block_s, most)
            )
            for (scenario, arm), one in self._open_with_reach()
            for block_s, most in [self._block(steps, scenario, {arm}, cost)]
            if most and not self._within(one, block_s, most, sessions_left, left_s)
        ]
        self.out_of_reach += found
        self._find_needed()
        return tuple(found)

    def is_out_of_reach(self, step: Step) -> bool:
        """Whether its scenario was given up for every arm that would have needed it."""
        return any(one.scenario == step.scenario for one in self.out_of_reach)

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
        given_up = {(one.scenario, one.arm) for one in self.out_of_reach} - closed
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
            out_of_reach=len(given_up & set(pairs)),
            families=tuple(self._of_family(*one, closed, given_up) for one in families.items()),
        )

    def _of_family(
        self, family: str, pairs: list[Place], closed: set[Place], given_up: set[Place]
    ) -> FamilyTally:
        ahead = sorted(pairs, key=lambda one: (one in closed, one in given_up, -self._progress[one].needed))
        rows = [row for one in ahead if (row := self._progress[one].row) is not None]
        return FamilyTally(
            family=family,
            decided=len(closed & set(pairs)),
            pairs=len(pairs),
            out_of_reach=len(given_up & set(pairs)),
            furthest=rows[0] if rows else None,
        )

    def candidates(self, steps: Iterable[Step], cost: Cost, sessions_left: int) -> list[Candidate]:
        """What the next session may take. steps: of it."""
        members: dict[str, list[Step]] = {}
        for step in steps:
            if self.needs(step.scenario, step.arm):
                members.setdefault(step.scenario, []).append(step)
        found = [self._candidate(scenario, mine, cost, sessions_left) for scenario, mine in members.items()]
        if self._plan.until_decided:
            found = [one for one in found if one.primary]
        # What is open for the control alone is worth its time only where the control is likely found.
        return [one for one in found if self._undecided(one.scenario) or one.to_go <= sessions_left]

    def chosen(self, steps: Sequence[Step], cost: Cost, left_s: float) -> tuple[list[Step], float]:
        """The steps of the next session that are worth their time, and the seconds ahead of the whole run."""
        sessions_left = max(1, self._plan.sessions - self._sessions)
        candidates = self.candidates(steps, cost, sessions_left)
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

    def _candidate(self, scenario: str, steps: Sequence[Step], cost: Cost, sessions_left: int) -> Candidate:
        most = len({step.block for step in steps})
        block_s = sum(cost(scenario, step.arm) for step in steps) / most
        arms = self._undecided(scenario) or {self._positive}
        open_here = [self._progress.get((scenario, arm)) for arm in sorted(arms)]
        there = [one for one in open_here if one is not None]
        deciding = [one for one in there if one.primary]
        least = self._least(scenario, most)
        to_go, blocks = self._best(deciding or there, least, most, block_s, sessions_left)
        return Candidate(
            scenario=scenario,
            primary=bool(deciding),
            sentence=any(one.sentence for one in deciding),
            subject=bool(arms & self._plan.subjects),
            by_turns=scenario in self._plan.by_turns,
            to_go=to_go,
            block_s=block_s,
            blocks=blocks,
            most=most,
            least=least,
        )

    def _best(
        self, known: Sequence[Progress], least: int, most: int, block_s: float, sessions_left: int
    ) -> tuple[float, int]:
        """(sessions until the nearest verdict, blocks a session) that cost least; most blocks out of reach.

        More pairs a session are worth it as long as pairs differ more than sessions, and a session costs
        something of its own.
        """
        offers = [
            (to_go * (blocks * block_s + SESSION_S), to_go, blocks)
            for blocks in range(least, most + 1)
            if (to_go := min((self._to_go(one, blocks) for one in known), default=math.inf)) <= sessions_left
        ]
        if offers:
            _, to_go, blocks = min(offers)
            return to_go, blocks
        return min((self._to_go(one, most) for one in known), default=math.inf), most

    def _to_go(self, one: Progress, blocks: int, *, lucky: bool = False) -> float:
        """Sessions until a verdict, at least 1."""
        total = one.reach(blocks, lucky) if one.reach is not None else one.needed
        return max(1.0, math.ceil(total) - self._sessions) if math.isfinite(total) else math.inf

    def _open_with_reach(self) -> list[tuple[Place, Progress]]:
        """What decides a claim, is open, and is the nearer the more blocks it gets."""
        return [
            (place, one) for place in self.undecided() if (one := self._progress[place]).reach is not None
        ]

    def _within(self, one: Progress, block_s: float, most: int, sessions_left: int, left_s: float) -> bool:
        """Whether some number of blocks decides it in time, with luck."""
        tries = ((blocks, self._to_go(one, blocks, lucky=True)) for blocks in range(1, most + 1))
        return any(to_go <= sessions_left and to_go * blocks * block_s <= left_s for blocks, to_go in tries)

    def _seconds(self, one: Progress, block_s: float, most: int) -> float | None:
        """About how long it takes to settle it by itself; None if that is not in sight."""
        each = (self._to_go(one, n) * (n * block_s + ALONE_S) for n in range(1, most + 1))
        seconds = min(each, default=math.inf)
        return round(seconds, 1) if math.isfinite(seconds) else None

    def _block(
        self, steps: Iterable[Step], scenario: str, open_here: set[str], cost: Cost
    ) -> tuple[float, int]:
        """(seconds of a block of a scenario if only these arms are open, blocks of the session)."""
        arms = attending(self._plan, open_here, self._found(scenario))
        mine = [step for step in steps if step.scenario == scenario and step.arm in arms]
        blocks = len({step.block for step in mine})
        return sum(cost(scenario, step.arm) for step in mine) / max(1, blocks), blocks

    def _least(self, scenario: str, most: int) -> int:
        """As many blocks as a session of the core has: fewer would not bear an outlier."""
        if self._core is None:
            blocks: dict[str, set[tuple[int, int]]] = {}
            for step in self._plan.steps:
                if step.session < self._plan.core:
                    blocks.setdefault(step.scenario, set()).add((step.session, step.block))
            sessions = {name: len({session for session, _ in there}) for name, there in blocks.items()}
            self._core = {name: len(there) // sessions[name] for name, there in blocks.items()}
        return max(1, min(most, self._core.get(scenario, 1)))

    def _find_needed(self) -> None:
        self._needed = {scenario: self._attending(scenario) for scenario in self._plan.scenarios}

    def _found(self, scenario: str) -> list[str]:
        return [arm for (name, arm), one in self._progress.items() if name == scenario and one.decided]

    def _attending(self, scenario: str) -> frozenset[str]:
        undecided = self._undecided(scenario)
        if not undecided and self._control_open(scenario):
            undecided = frozenset({self._positive})
        return attending(self._plan, undecided, self._found(scenario))

    def _control_open(self, scenario: str) -> bool:
        """Whether the extra work is still to be found where all else is decided. It never keeps a run going,
        but shows, as long as one goes on, that a loss would have been seen."""
        place = (scenario, self._positive)
        one = self._progress.get(place)
        if one is None or not self._plan.systems or not one.primary or one.decided or place in self._silent:
            return False
        if any(given_up.scenario == scenario for given_up in self.out_of_reach):
            return False
        return self._plan.ends.get(place, 0) > self._sessions

    def _undecided(self, scenario: str) -> frozenset[str]:
        """Judged arms that are open on a scenario, in reach, and can still be measured there."""
        closed = {(one.scenario, one.arm) for one in self.closed}
        closed |= {(one.scenario, one.arm) for one in self.out_of_reach}
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
