"""The arithmetic of one plan: who attends what, how often, for how much, and in which order."""

from __future__ import annotations

import random
from collections.abc import Sequence

from bench.model import ArmPlan, Looks, Prices, Step
from bench.plan.arms import neighbours, serves
from bench.plan.choice import Excluded, is_primary, may_thin, weight
from bench.plan.costs import OWN, group_of
from bench.profiles import CORE_SHARE, PAIRED, Profile, pace, visit_s
from bench.scenarios.base import Scenario

LATER = 3
"""Visits of a session after the core for one of a session of the core, at most: what is still open then is
close to the margin, and gets the time of what is decided."""

DEAR = 0.005
"""Of the budget: what costs less over the core is not worth leaving out of some sessions."""


def spread(count: int, size: int) -> list[int]:
    """`count` indices spread evenly over range(size), always with 0. count <= size."""
    return [index * size // count for index in range(count)]


class Draft:
    """The arithmetic of one plan: who attends what, how often, and for how much."""

    def __init__(
        self,
        profile: Profile,
        arms: tuple[ArmPlan, ...],
        scenarios: tuple[Scenario, ...],
        excluded: Excluded,
        prices: Prices | None,
    ) -> None:
        self.profile = profile
        self.paces = {arm.name: pace(arm, prices) for arm in arms}
        self.neighbours = neighbours(arms)
        self.machines = {arm.name for arm in arms if arm.kind == "vm"}
        hosts = {arm.name for arm in arms if arm.role == "baseline"}
        self.hosts = hosts | {arm.name for arm in arms if arm.role == "control" and arm.twin_of in hosts}
        self.scenarios = scenarios
        idle = {(arm.name, s.name) for arm in arms for s in scenarios if not serves(arm, s)}
        self.excluded = excluded | idle
        self.every = 1
        self.rare = self._rare(arms)
        self.looks = self._looks()
        self.core = self.looks.core if self.looks else profile.sessions
        self.groups: dict[str, list[Scenario]] = {}
        for scenario in scenarios:
            self.groups.setdefault(group_of(scenario), []).append(scenario)
        self.thinned: dict[str, tuple[int, int] | None] = {}  # in every nth session; None: in none
        self.served = self._serving()
        self.in_core = self._fill()

    def attends(self, arm: str, scenario: Scenario) -> bool:
        """Whether an arm takes part in a scenario."""
        return (arm, scenario.name) not in self.excluded

    def _looks(self) -> Looks | None:
        """When the run looks at its data; None where it never does."""
        first, sessions = self.profile.first_look, self.profile.sessions
        if not 0 < first <= sessions:
            return None
        return Looks(first=first, last=sessions, core=min(first * self.every, sessions))

    def _rare(self, arms: Sequence[ArmPlan]) -> frozenset[str]:
        """What comes in one of several sessions of the core, as it would take too much of the budget in all.

        None does where that would leave the others without a fast system.
        """
        often = self.profile.first_look * self.profile.every
        if not 0 < often <= self.profile.sessions or self.profile.every == 1:
            return frozenset()
        fast = [arm for arm, one in self.paces.items() if not one.slow]
        dear = DEAR * self.profile.budget_s / often
        rare = frozenset(
            s.name
            for s in self.scenarios
            if not s.by_turns
            and sum(visit_s(s, self.paces[arm]) for arm in fast if self.attends(arm, s)) > dear
        )
        judged = [arm.name for arm in arms if arm.is_system] or [arm for arm in fast if arm in self.hosts]
        light = [s for s in self.scenarios if s.name not in rare]
        if not any(self.attends(arm, s) for s in light for arm in judged if arm in fast):
            return frozenset()
        self.every = self.profile.every
        return rare

    def most(self, scenario: Scenario) -> int:
        """Visits in one session that a profile allows."""
        return -(-self.profile.max_visits // max(1, scenario.every_nth_block))

    def visits(self, scenario: Scenario, session: int) -> int:
        """Visits in one session."""
        visits = self.in_core[scenario.name]
        if session < self.core and not self._comes(scenario, session):
            return 0
        return visits if session < self.core else max(visits, min(LATER * visits, self.most(scenario)))

    def least(self, scenario: Scenario) -> int:
        """Visits of a session of the core that are never saved on; one where the run does not look."""
        if self.looks is None or scenario.kind == "instance" or not is_primary(scenario):
            return 1
        pairs = self.profile.pairs
        if self.every == 1 or scenario.name in self.rare:
            pairs *= self.profile.every
        return min(self.most(scenario), pairs if scenario.family in PAIRED else 1)

    def joined(self, arm: str, scenario: Scenario, visits: int, session: int) -> int:
        """How many of a scenario's visits in a session an arm joins; a machine by turns, of those apart."""
        if not self.paces[arm].slow:
            return -(-visits // 2) if scenario.by_turns and arm in self.machines else visits
        there = session < self.profile.slow_sessions and not session % self.every
        return min(visits, self.profile.slow_visits) if there else 0

    def apart(self, scenario: Scenario, visits: int, session: int) -> int:
        """Visits beyond these, which virtual machines share with the host alone: they have clocks of their
        own, so that where one joins nobody runs by turns."""
        if not scenario.by_turns:
            return 0
        there = [arm for arm in self.machines if arm in self.paces and self.attends(arm, scenario)]
        return max((self.joined(arm, scenario, visits, session) for arm in there), default=0)

    def price(self, scenario: Scenario, visits: int) -> float:
        """Forecast seconds of a scenario over the core, with so many visits a session."""
        sessions = [session for session in range(self.core) if self._comes(scenario, session)]
        apart = sum(self.apart(scenario, visits, session) for session in sessions)
        return sum(
            visit_s(scenario, self.paces[arm])
            * (
                sum(self.joined(arm, scenario, visits, session) for session in sessions)
                + (apart if arm in self.hosts else 0)
            )
            for arm in self.paces
            if self.attends(arm, scenario) and not self._is_served(arm, scenario)
        )

    def _serving(self) -> dict[str, str]:
        """Slow arm → the group whose instance, once a session, serves what asks about a start.

        An instance that starts in seconds is too dear to be started for one figure each: its start, memory
        and disk are read from one that slices need anyway, of those without a volume. Only where a slow arm
        joins one visit a session; more visits have starts of their own.
        """
        found: dict[str, str] = {}
        for arm in [name for name, one in self.paces.items() if one.slow and self.profile.slow_visits == 1]:
            there = [
                group
                for group, members in self.groups.items()
                if group != OWN
                and members[0].spec.volume is None
                and any(self.attends(arm, one) for one in members)
            ]
            if there:
                found[arm] = there[0]
        return found

    def _is_served(self, arm: str, scenario: Scenario) -> bool:
        return scenario.from_start and arm in self.served

    def overhead(self) -> float:
        """Forecast seconds of instance starts and warm-ups over the core."""
        total = 0.0
        for group, members in self.groups.items():
            for arm in self.paces if group != OWN else ():
                known = [visit_s(s, self.paces[arm]) for s in members if self.attends(arm, s)]
                warm = {"all": sum(known), "cheapest": min(known, default=0.0), "none": 0.0}
                instances = self.core
                if self.paces[arm].slow or all(s.name in self.rare for s in members):
                    instances = -(-instances // self.every)
                if self.paces[arm].slow:
                    instances = min(self.profile.slow_sessions, instances)
                    warm["cheapest"] = 0.0
                total += instances * (self.paces[arm].start_s + warm[self.profile.warmup]) if known else 0.0
        return total

    def _fill(self) -> dict[str, int]:
        """Visits in a session of the core, bought where they are worth most per second.

        Visit n + 1 lowers a mean's variance by 1 / (n (n + 1)).
        """
        visits = {s.name: self.least(s) for s in self.scenarios}
        share_s = self.profile.core_s or CORE_SHARE * self.profile.budget_s
        left = (share_s if self.looks else self.profile.budget_s) - self.overhead()
        left = self._thin(left - sum(self.price(s, visits[s.name]) for s in self.scenarios))
        while True:
            offers = [
                (weight(s) / (now * (now + 1)) / max(cost, 1e-9), cost, s.name)
                for s in self.scenarios
                if self.thinned.get(s.name, (1, 0)) is not None
                and (now := visits[s.name]) < self.most(s)
                and (cost := self.price(s, now + 1) - self.price(s, now)) <= left
            ]
            if not offers:
                return visits
            _, cost, name = max(offers)
            visits[name] += 1
            left -= cost

    def _thin(self, left: float) -> float:
        """Let what no sentence rests on come half as often, the dearest first, until the rest fits, then in
        one session; then let the suite's own questions wait until after the core.

        left: seconds, below zero where the core exceeds its share; returns what they are then. Only a core of
        several sessions is thinned.
        """
        least = DEAR * self.profile.budget_s
        slow = [arm for arm, one in self.paces.items() if one.slow]
        dear = [s for s in self.scenarios if may_thin(s) and self.price(s, 1) > least]
        # A slow arm comes to few sessions, and needs all of them for a verdict.
        dear = [s for s in dear if not any(self.attends(arm, s) for arm in slow)]
        dear.sort(key=lambda s: -self.price(s, 1))
        rarer = [(nth, *one) for nth in (2 * self.every, self.core) for one in enumerate(dear)]
        for nth, place, scenario in rarer if self.looks and self.core > 3 else ():
            if left >= 0:
                break
            before = self.price(scenario, 1)
            self.thinned[scenario.name] = (nth, place * self.every % nth)
            left += before - self.price(scenario, 1)
        for scenario in [s for s in dear if s.name in self.thinned and is_primary(s)]:
            if left >= 0:
                break
            left += self.price(scenario, 1)
            self.thinned[scenario.name] = None
        return left

    def _comes(self, scenario: Scenario, session: int) -> bool:
        """Whether a session of the core has a scenario."""
        if scenario.name not in self.thinned:
            return scenario.name not in self.rare or not session % self.every
        turn = self.thinned[scenario.name]
        return turn is not None and session % turn[0] == turn[1]

    def steps(self, rng: random.Random) -> list[Step]:
        """All sessions, in a random order within each."""
        found: list[Step] = []
        for session in range(self.profile.sessions):
            groups = list(self.groups)
            rng.shuffle(groups)
            for group in groups:
                self._group_steps(rng, session, group, found)
        return found

    def _group_steps(self, rng: random.Random, session: int, group: str, found: list[Step]) -> None:
        members = self.groups[group]
        for arm in [arm for arm, serving in self.served.items() if serving == group]:
            self._served_steps(session, group, arm, found)
        blocks = max(self._all_visits(s, session) for s in members)
        due = {s.name: self._due(s, session, blocks) for s in members}
        for block in range(blocks):
            turn = [s for s in members if block in due[s.name]]
            rng.shuffle(turn)
            for scenario in turn:
                visit = due[scenario.name].index(block)
                arms = self._turn_arms(scenario, session, visit)
                for arm in self._in_order(rng, arms):
                    _add(found, session, group, block, scenario.name, arm)

    def _served_steps(self, session: int, group: str, arm: str, found: list[Step]) -> None:
        """What is read from an arm's instance before its first slice."""
        for scenario in self.groups.get(OWN, ()):
            if (
                self._is_served(arm, scenario)
                and self.attends(arm, scenario)
                and self.joined(arm, scenario, 1, session)
            ):
                _add(found, session, group, 0, scenario.name, arm)

    def _in_order(self, rng: random.Random, arms: Sequence[str]) -> list[str]:
        """The arms of a turn in random order, neighbours side by side, either of them first."""
        paired = {arm for pair in self.neighbours for arm in pair}
        units = [[arm for arm in pair if arm in arms] for pair in self.neighbours]
        units += [[arm] for arm in arms if arm not in paired]
        for unit in units:
            rng.shuffle(unit)
        rng.shuffle(units)
        return [arm for unit in units for arm in unit]

    def _all_visits(self, scenario: Scenario, session: int) -> int:
        """Those in which machines are apart included, which come last."""
        visits = self.visits(scenario, session)
        return visits + (self.apart(scenario, visits, session) if visits else 0)

    def _due(self, scenario: Scenario, session: int, blocks: int) -> list[int]:
        """The blocks of a session that a scenario is visited in."""
        most = -(-blocks // max(1, scenario.every_nth_block))
        return spread(min(self._all_visits(scenario, session), most), blocks)

    def _turn_arms(self, scenario: Scenario, session: int, visit: int) -> list[str]:
        visits = self.visits(scenario, session)
        there = [
            arm for arm in self.paces if self.attends(arm, scenario) and not self._is_served(arm, scenario)
        ]
        if scenario.by_turns and visit >= visits:
            late = visit - visits
            machines = {arm for arm in self.machines if late < self.joined(arm, scenario, visits, session)}
            return [arm for arm in there if arm in self.hosts or arm in machines]
        return [
            arm
            for arm in there
            if not (scenario.by_turns and arm in self.machines)
            and visit in spread(self.joined(arm, scenario, visits, session), visits)
        ]


def _add(found: list[Step], session: int, group: str, block: int, scenario: str, arm: str) -> None:
    order = len(found)
    found.append(Step(order=order, session=session, block=block, group=group, scenario=scenario, arm=arm))
