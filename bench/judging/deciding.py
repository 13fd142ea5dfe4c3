"""A look at a run that goes on: which scenarios are decided for which arm, and how far the others are.

Asked after every session, so it works out only what decides: no rows, no words. The rule is the judge's own
(bench.judging.rows.decide, at the level this look may spend), so what a look closes the judge finds decided.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence

import msgspec
import pandas as pd

from bench.claims import Claim, Claims
from bench.judging.comparisons import Comparison, RunSeries, comparisons
from bench.judging.outlook import needed_with_looks, tail_with_visits, with_pairs
from bench.judging.pairs import collect
from bench.judging.rows import Gate, families, family_of, row, shortfall, state_of
from bench.judging.spending import Spending, spending
from bench.model import ArmPlan, Closed, Looks, Plan, Verdict

JUDGED = ("ratio", "quantile", "absolute")
"""Kinds of claims that samples decide."""


Reach = Callable[[int, bool], float]
"""(blocks of each session to come, whether the noise is taken at its lower bound) → sessions of the run in
all, by which the nearest verdict is likely."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """One (scenario, arm). decided: every comparison that decides a claim is supported or refuted.

    needed: sessions in all, those done included, that decide it at the pace seen so far (inf: not in sight;
    those done where it is decided). primary: whether any of its metrics decides a claim; sentence: one of the
    seven, not a question of the suite's own. reach: see Reach; None where blocks make no difference. row: of
    the metric that needs most, for people who watch.
    """

    scenario: str
    arm: str
    decided: bool
    needed: float
    primary: bool
    sentence: bool = True
    reach: Reach | None = None
    row: Verdict | None = None


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison at this look.

    over: no more pairs can come, decided or not. needed: sessions of the run in all (done: it is decided).
    sentence, reach: as in Progress. row: it as a verdict's row would have it now.
    """

    scenario: str
    arms: tuple[str, ...]
    primary: bool
    over: bool
    needed: float
    sentence: bool
    reach: Reach | None
    row: Verdict | None


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What all comparisons of one look share."""

    claims: Claims
    evidence: RunSeries
    looks: Looks
    spending: Spending
    gate: Gate

    @property
    def done(self) -> float:
        """Sessions walked so far."""
        return float(self.spending.sessions)

    def standings(self, plan: Plan) -> Iterator[Standing]:
        """All comparisons that may keep an arm in the run."""
        silent = plan.arm.keys() - plan.judged
        positive = {plan.positive.name} if plan.positive else set()
        for claim in (claim for claim in self.claims.claim if claim.kind in JUDGED):
            skip = plan.shown_only | (silent - positive if claim.kind == "ratio" else silent)
            listed = list(comparisons(claim, self.evidence, skip))
            together = families(claim, listed)
            for comparison in listed:
                # The positive control is looked for one metric at a time (bench.judging.positive).
                alone = comparison.arm in positive
                yield self.standing(claim, comparison, 1 if alone else together[family_of(comparison)])

    def standing(self, claim: Claim, comparison: Comparison, family: int) -> Standing:
        """Whether this comparison asks for more sessions, and for how many."""
        needed = self.needed(claim, comparison, family)
        return Standing(
            scenario=comparison.scenario,
            arms=tuple(arm for arm in (comparison.arm, comparison.baseline) if arm),
            primary=comparison.role == "primary",
            over=self.spending.stopped(comparison) is not None or self.spending.exhausted(comparison),
            needed=needed,
            sentence=bool(claim.number),
            reach=self.reach(claim, comparison, family) if needed > self.done else None,
            row=self.row(claim, comparison),
        )

    def row(self, claim: Claim, comparison: Comparison) -> Verdict | None:
        """Its numbers so far, at the claim's own level, for people who watch."""
        if comparison.role != "primary" or comparison.blocked or not comparison.series.n_pairs:
            return None
        place = comparison.shown, comparison.arm, comparison.baseline
        bounds, pairs = comparison.bounds(claim.alpha), comparison.series.n_pairs
        return row(claim.id, place, bounds, claim.margin, claim.alpha, pairs, "inconclusive", ())

    def reach(self, claim: Claim, comparison: Comparison, family: int) -> Reach | None:
        """How soon it is settled, by the blocks of sessions to come; None where they make no difference."""
        if claim.kind != "ratio" and not comparison.tail:
            return None
        short, looks = shortfall(comparison, self.gate), self.looks_at(comparison)
        least = self._enough(looks) if short else 0.0
        visits = self.evidence.visits_of(comparison.metric, comparison.arm)
        each = comparison.series.n_pairs / visits if visits else 1.0

        def sessions(blocks: int, lucky: bool) -> float:
            if comparison.tail:
                found = tail_with_visits(claim, comparison, looks, blocks, each)
            else:
                found = with_pairs(claim, comparison, looks, family, blocks, lucky=lucky)
            return self._of_the_run(comparison, max(least, found))

        return sessions

    def needed(self, claim: Claim, comparison: Comparison, family: int) -> float:
        """Sessions of the run in all; those done where nothing is open (or can never be closed)."""
        if comparison.blocked or self.spending.stopped(comparison) is not None:
            return self.done
        looks = self.looks_at(comparison)
        if shortfall(comparison, self.gate):
            return self._of_the_run(comparison, self._enough(looks))
        level = self.spending.level(claim.alpha, comparison)
        if not level:
            return self._of_the_run(comparison, looks.first)
        interval = comparison.bounds(level)
        if state_of(claim, comparison, self.spending, family, interval)[0] != "inconclusive":
            return max(self.done, float(self.looks.first))
        return self._of_the_run(comparison, needed_with_looks(claim, comparison, interval, looks))

    def looks_at(self, comparison: Comparison) -> Looks:
        """When looks may decide it."""
        return self.spending.looks_at(comparison) or self.looks

    def _enough(self, looks: Looks) -> float:
        """Sessions that a verdict asks for at the least."""
        return max(looks.first, self.gate.min_sessions)

    def _of_the_run(self, comparison: Comparison, sessions: float) -> float:
        """Sessions with this comparison → sessions of the run, if from now on each has it."""
        return self.done + max(1.0, sessions - comparison.series.n_sessions)


def progress(
    samples: pd.DataFrame, claims: Claims, plan: Plan, sessions: int, closed: Sequence[Closed] = ()
) -> list[Progress]:
    """How far each (scenario, arm) of the plan is after `sessions` whole sessions; the plan has looks.

    `samples` are all so far (columns of bench.model.Sample), valid and not. The primary comparisons of a
    scenario count, the stress ones only where it has no other. A claim over several metrics asks for no more
    than each of them decided. The baseline and the controls serve the arms, so they are decided when those
    are; in a plan without arms the controls are judged as if they were. Raises SamplesError.
    """
    look = Look(
        claims=claims,
        evidence=RunSeries(collect(samples), {arm.name: arm.kind for arm in plan.arms}, plan.counted),
        looks=plan.looks or Looks(first=plan.sessions, last=plan.sessions),
        spending=spending(plan, sessions, closed, final=False),
        gate=Gate(min_sessions=claims.min_sessions, smoke=False),
    )
    standings: defaultdict[str, list[Standing]] = defaultdict(list)
    for standing in look.standings(plan):
        standings[standing.scenario].append(standing)
    return [
        _progress(look, scenario, plan.arm[name], _concerning(plan, plan.arm[name], standings[scenario]))
        for scenario, name in dict.fromkeys((step.scenario, step.arm) for step in plan.steps)
    ]


def _progress(look: Look, scenario: str, arm: ArmPlan, standings: list[Standing]) -> Progress:
    place = (scenario, arm.name)
    ended = look.spending.sessions >= look.spending.ends.get(place, math.inf)
    primary = any(one.primary for one in standings)
    counted = [one for one in standings if one.primary or not primary]
    if not ended:
        counted = [one for one in counted if not one.over]
    needed = max((one.needed for one in counted), default=look.done)
    if place in look.spending.closed:
        needed = look.done
    elif arm.is_system and not _tried(look, scenario, arm.name):
        needed = look.done + look.claims.min_sessions  # planned and not come yet
    elif ended and needed > look.done:
        needed = math.inf
    asking = [one for one in counted if one.needed > look.done]
    shown = [one for one in counted if one.row is not None and arm.name in one.arms]
    return Progress(
        scenario=scenario,
        arm=arm.name,
        decided=needed <= look.done,
        needed=needed,
        primary=primary,
        sentence=any(one.sentence for one in asking or counted) or not counted,
        reach=_nearest(asking) if needed > look.done else None,
        row=max(shown, key=lambda one: one.needed).row if shown else None,
    )


def _nearest(standings: Sequence[Standing]) -> Reach | None:
    """The reach of the verdict that comes first, where blocks make a difference to all that are open."""
    reaches = [one.reach for one in standings if one.reach is not None]
    if not reaches or len(reaches) < len(standings):
        return None
    return lambda blocks, lucky: min(reach(blocks, lucky) for reach in reaches)


def _tried(look: Look, scenario: str, arm: str) -> bool:
    visits = look.evidence.visits
    return any(name == scenario and (metric, arm) in visits.tried for metric, name in visits.scenario.items())


def _concerning(plan: Plan, arm: ArmPlan, standings: list[Standing]) -> list[Standing]:
    """The comparisons of a scenario that an arm has to stay for."""
    judged = set(plan.judged)
    if arm.name == plan.baseline:
        judged |= {plan.positive.name} if plan.positive else set()
    elif arm == plan.positive or arm.name in judged:
        judged = {arm.name}
    elif arm.twin_of in judged:
        judged = {arm.twin_of}
    return [one for one in standings if judged & set(one.arms)]
