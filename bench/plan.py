"""Scenarios × arms × profile → one seeded, complete order of a run. Pure: no clock, no host, no I/O.

The order, from the outside in:

    session   fresh instances of every arm (the cluster of the statistics)
      group   scenarios with an equal InstanceSpec share one instance; those that start their own are "own"
        block     every fast arm once for every scenario that is due
          scenario  shuffled
            arm       shuffled, one directly after the other, so that a pair's sides lie close in time

How often a scenario is visited follows from the budget: each gets one visit a session, and what is left goes
where one more visit lowers the variance of a pair's mean most for its cost, primary metrics counting more.
Slow arms attend fewer sessions and fewer visits, because their effects are large. A scenario's first visit is
always in the first block of its group, so that the guard, which drops later blocks, loses no metric.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from bench.model import ArmPlan, Metric, Plan, Step
from bench.profiles import Profile, pace, visit_s
from bench.scenarios.base import Scenario

OWN = "own"
_WEIGHT = {"primary": 4.0, "stress": 1.0, "info": 0.5}


class PlanError(ValueError):
    """The inputs give no plan; the message says which one and why."""


Excluded = frozenset[tuple[str, str]]
"""(arm, scenario) pairs that a backend said it cannot run."""


def arms_for(names: Iterable[tuple[str, str]]) -> tuple[ArmPlan, ...]:
    """(final name, name the user types) of each backend → the arms, with the A/A control beside the host."""
    arms = [ArmPlan(name=name, backend=typed, role="arm") for name, typed in names if typed != "host"]
    return (
        ArmPlan(name="host", backend="host", role="baseline"),
        ArmPlan(name="host-b", backend="host", role="control"),
        *arms,
    )


def group_of(scenario: Scenario) -> str:
    """A stable name for the instance a scenario needs, equal for equal specs (without cpus)."""
    if scenario.kind == "instance":
        return OWN
    spec = scenario.spec()
    parts = [f"net-{spec.network}"]
    if spec.volume is not None:
        parts.append("volume")
    if spec.memory_max is not None:
        parts.append(f"memory-{spec.memory_max}")
    parts.extend(spec.argv)
    if spec.until_output:
        parts.append("until-output")
    return " ".join(parts)


def choose(scenarios: Sequence[Scenario], per_family: int | None) -> list[Scenario]:
    """At most `per_family` scenarios of each family: those with a primary metric first, then the cheapest."""
    if per_family is None:
        return list(scenarios)
    kept: list[Scenario] = []
    for family in dict.fromkeys(s.family for s in scenarios):
        ranked = sorted((s for s in scenarios if s.family == family), key=lambda s: (-_weight(s), s.cost_s))
        kept.extend(ranked[:per_family])
    return [s for s in scenarios if s in kept]


def make_plan(
    profile: Profile,
    seed: int,
    arms: Sequence[ArmPlan],
    scenarios: Sequence[Scenario],
    *,
    cpus: tuple[int, ...] = (),
    excluded: Excluded = frozenset(),
) -> Plan:
    """The plan of a run. Raises PlanError without a baseline or without a scenario that it can run."""
    baseline = [arm.name for arm in arms if arm.role == "baseline"]
    if len(baseline) != 1:
        raise PlanError(f"a plan needs exactly one baseline arm, got {baseline or 'none'}")
    chosen = [s for s in choose(scenarios, profile.per_family) if (baseline[0], s.name) not in excluded]
    if not chosen:
        raise PlanError(
            "no scenario is left to run: every one was excluded by its family or by the host backend"
        )
    draft = _Draft(profile, tuple(arms), tuple(chosen), excluded)
    return Plan(
        profile=profile.name,
        seed=seed,
        arms=tuple(arms),
        scenarios=tuple(s.name for s in chosen),
        metrics=_metrics(chosen),
        sessions=profile.sessions,
        steps=tuple(draft.steps(random.Random(seed))),
        cpus=cpus,
        budget_s=profile.budget_s,
    )


def warmups(
    plan: Plan, session: int, group: str, scenarios: Mapping[str, Scenario], profile: Profile
) -> list[Step]:
    """The uncounted first slices of a group's fresh instances, in the order of their first visit.

    The first session warms every scenario (page cache); `cheapest` warms only one in the later ones.
    """
    if group == OWN or profile.warmup == "none":
        return []
    first: dict[tuple[str, str], Step] = {}
    for step in plan.steps:
        if step.session == session and step.group == group:
            first.setdefault((step.arm, step.scenario), step)
    if profile.warmup == "all":
        return list(first.values())
    full = {arm.name for arm in plan.arms if session == 0 and not pace(arm.name).slow}
    cheapest: dict[str, Step] = {}
    for (arm, _), step in first.items():
        best = cheapest.setdefault(arm, step)
        if scenarios[step.scenario].cost_s < scenarios[best.scenario].cost_s:
            cheapest[arm] = step
    return [step for (arm, _), step in first.items() if arm in full or step is cheapest[arm]]


def forecast(plan: Plan, scenarios: Mapping[str, Scenario], profile: Profile) -> list[tuple[int, str, float]]:
    """(session, group, seconds) in plan order: instance starts, warm-ups and visits."""
    seconds: dict[tuple[int, str], float] = {}
    present: dict[tuple[int, str], set[str]] = {}
    for step in plan.steps:
        key = (step.session, step.group)
        seconds[key] = seconds.get(key, 0.0) + visit_s(scenarios[step.scenario], step.arm)
        present.setdefault(key, set()).add(step.arm)
    for (session, group), arms in present.items():
        if group != OWN:
            seconds[session, group] += sum(pace(arm).start_s for arm in arms)
        for step in warmups(plan, session, group, scenarios, profile):
            seconds[session, group] += visit_s(scenarios[step.scenario], step.arm)
    return [(session, group, cost) for (session, group), cost in seconds.items()]


def spread(count: int, size: int) -> list[int]:
    """`count` indices spread evenly over range(size), always with 0. count <= size."""
    return [index * size // count for index in range(count)]


def _metrics(scenarios: Iterable[Scenario]) -> tuple[Metric, ...]:
    found: dict[str, Metric] = {}
    for scenario in scenarios:
        for metric in scenario.metrics:
            if found.setdefault(metric.name, metric) != metric:
                raise PlanError(f"metric {metric.name!r} is defined twice, differently, by {scenario.name!r}")
    return tuple(found.values())


def _weight(scenario: Scenario) -> float:
    return max((_WEIGHT[metric.role] for metric in scenario.metrics), default=0.5)


class _Draft:
    """The intermediate arithmetic of one plan: who attends what, how often, and for how much."""

    def __init__(
        self, profile: Profile, arms: tuple[ArmPlan, ...], scenarios: tuple[Scenario, ...], excluded: Excluded
    ) -> None:
        self.profile = profile
        self.arms = tuple(arm.name for arm in arms)
        self.scenarios = scenarios
        self.excluded = excluded
        self.slow_scenarios = {s.name for s in choose(scenarios, profile.slow_per_family)}
        attended = min(profile.slow_sessions, profile.sessions)
        self.slow_sessions = set(spread(attended, profile.sessions)) if attended else set[int]()
        self.groups: dict[str, list[Scenario]] = {}
        for scenario in scenarios:
            self.groups.setdefault(group_of(scenario), []).append(scenario)
        self.visits = self._fill()

    def attends(self, arm: str, scenario: Scenario) -> bool:
        slow_and_left_out = pace(arm).slow and scenario.name not in self.slow_scenarios
        return (arm, scenario.name) not in self.excluded and not slow_and_left_out

    def count(self, arm: str, visits: int) -> int:
        """Visits of an arm over the run where the scenario has `visits` in a session."""
        if pace(arm).slow:
            return len(self.slow_sessions) * min(visits, self.profile.slow_visits)
        return self.profile.sessions * visits

    def price(self, scenario: Scenario, visits: int) -> float:
        """Forecast seconds of all visits of a scenario over the run."""
        arms = [arm for arm in self.arms if self.attends(arm, scenario)]
        return sum(self.count(arm, visits) * visit_s(scenario, arm) for arm in arms)

    def overhead(self) -> float:
        """Forecast seconds of instance starts and warm-ups over the run."""
        total = 0.0
        for group, members in self.groups.items():
            if group == OWN:
                continue
            for arm in self.arms:
                known = [visit_s(s, arm) for s in members if self.attends(arm, s)]
                if not known:
                    continue
                instances = self.count(arm, 1)
                total += instances * pace(arm).start_s
                if self.profile.warmup == "all":
                    total += instances * sum(known)
                elif self.profile.warmup == "cheapest":
                    total += instances * min(known) + (0.0 if pace(arm).slow else sum(known) - min(known))
        return total

    def _fill(self) -> dict[str, int]:
        """Greedy allocation: visit n+1 lowers a mean's variance by w/(n(n+1)); buy most per second."""
        visits = {s.name: 1 for s in self.scenarios}
        left = self.profile.budget_s - self.overhead() - sum(self.price(s, 1) for s in self.scenarios)
        while True:
            offers = [
                (_weight(s) / (now * (now + 1)) / max(cost, 1e-9), cost, s.name)
                for s in self.scenarios
                if (now := visits[s.name]) < self.profile.max_visits
                and (cost := self.price(s, now + 1) - self.price(s, now)) <= left
            ]
            if not offers:
                return visits
            _, cost, name = max(offers)
            visits[name] += 1
            left -= cost

    def steps(self, rng: random.Random) -> list[Step]:
        found: list[Step] = []
        for session in range(self.profile.sessions):
            groups = list(self.groups)
            rng.shuffle(groups)
            for group in groups:
                self._group_steps(rng, session, group, found)
        return found

    def _group_steps(self, rng: random.Random, session: int, group: str, found: list[Step]) -> None:
        members = self.groups[group]
        blocks = max(self.visits[s.name] for s in members)
        due = {s.name: spread(self._capped(s, blocks), blocks) for s in members}
        for block in range(blocks):
            turn = [s for s in members if block in due[s.name]]
            rng.shuffle(turn)
            for scenario in turn:
                visit = due[scenario.name].index(block)
                arms = self._turn_arms(scenario, session, visit, len(due[scenario.name]))
                rng.shuffle(arms)
                for arm in arms:
                    step = Step(
                        order=len(found),
                        session=session,
                        block=block,
                        group=group,
                        scenario=scenario.name,
                        arm=arm,
                    )
                    found.append(step)

    def _capped(self, scenario: Scenario, blocks: int) -> int:
        return min(self.visits[scenario.name], -(-blocks // max(1, scenario.every)))

    def _turn_arms(self, scenario: Scenario, session: int, visit: int, visits: int) -> list[str]:
        joined = spread(min(self.profile.slow_visits, visits), visits)
        slow_now = session in self.slow_sessions and visit in joined
        return [arm for arm in self.arms if self.attends(arm, scenario) and (slow_now or not pace(arm).slow)]


def encoded(plan: Plan) -> bytes:
    """The plan as canonical JSON: two plans are the same when these bytes are."""
    return msgspec.json.encode(plan)
