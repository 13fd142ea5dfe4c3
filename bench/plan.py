"""Scenarios × arms × profile → one seeded, complete order of a run. Pure: no clock, no host, no I/O.

The order, from the outside in:

    session   fresh instances of every arm (the cluster of the statistics)
      group   scenarios with an equal InstanceSpec share one instance; those that start their own are "own"
        block     every scenario that is due, every fast arm once
          scenario  shuffled
            arm       shuffled, one directly after the other; those that verdicts pair (host and runtime,
                      their second copies) are neighbours: what else the machine does lasts for some slices

How often a scenario is visited in a session follows from the budget and from what visits are known to cost.
Each is visited once, without which there is no verdict; where that alone exceeds the core's share of the
budget, what no sentence rests on comes in every second session, the dearest first, and if that is not enough,
the suite's own questions come after the core, where there is time. Then come several visits
of what is cheap and noisy (bench.profiles.PAIRS); what is left goes where one more visit lowers a mean's
variance most for its cost, primary metrics counting more. The *core* is the sessions before the first look at
the data (all, where a run does not look). The plan goes on after it to the last session that may be, with
more visits in each: what the looks decide is left out then (bench.measure.looks). Slow arms attend only the
first sessions: their effects are large, their instances expensive.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from bench import claims
from bench.errors import ExpectedError
from bench.model import ArmPlan, BackendInfo, Looks, Metric, Plan, Prices, Step
from bench.profiles import CORE_SHARE, HOST, PAIRS, Pace, Profile, pace, visit_s
from bench.scenarios.base import Scenario

OWN = "own"
_WEIGHT = {"primary": 10.0, "stress": 1.0, "info": 0.5}
"""What a visit is worth. Visits grow with its root: three of a primary metric for one of a stress metric."""

LATER = 3
"""Visits of a session after the core for one of a session of the core, at most: what is still open then is
close to the margin, and gets the time of what is decided."""

DEAR = 0.005
"""Of the budget: what costs less over the core is not worth leaving out of every second session."""

EXTRA = 0.02
"""Extra work of the positive control: the loss that a run has to find at a margin of 1 %."""

TWINNED = "runtime"
"""The backend with a second copy of its own, like the host: the subject of the suite."""


class PlanError(ExpectedError):
    """No plan can be made of the inputs; the message says why."""


Excluded = frozenset[tuple[str, str]]
"""(arm, scenario) pairs that a backend said it cannot run."""


def arms_for(found: Mapping[str, BackendInfo]) -> tuple[ArmPlan, ...]:
    """The arms of a run, each control beside what it copies. found: by the name that the user types."""
    arms: list[ArmPlan] = []
    for backend, info in found.items():
        arm = ArmPlan(name=info.name, backend=backend, kind=info.kind, emulated=info.emulated, role="arm")
        if backend != "host":
            arms.append(arm)
        if backend == TWINNED:
            arms.append(_copy(arm))
    host = ArmPlan(name="host", backend="host", kind="host", role="baseline")
    positive = msgspec.structs.replace(host, name=f"host-{100 * EXTRA:g}pct", role="positive", extra=EXTRA)
    return (host, _copy(host), positive, *arms)


def _copy(arm: ArmPlan) -> ArmPlan:
    return msgspec.structs.replace(arm, name=f"{arm.name}-b", role="control", twin_of=arm.name)


def serves(arm: ArmPlan, scenario: Scenario) -> bool:
    """Whether a plan has a use for an arm on a scenario: a control attends what decides claims.

    The positive control attends where it can do more work; the host's second copy attends everything, since
    every ratio rests on the host.
    """
    if arm.extra:
        return scenario.scales_work and _is_primary(scenario)
    return not arm.is_control or arm.kind == "host" or _is_primary(scenario)


def group_of(scenario: Scenario) -> str:
    """A stable name for the instance a scenario needs, equal for equal specs (without cpus)."""
    if scenario.kind == "instance":
        return OWN
    spec = scenario.spec
    parts = [f"net-{spec.network}"]
    if spec.volume is not None:
        parts.append("volume")
    if spec.memory_max is not None:
        parts.append(f"memory-{spec.memory_max}")
    parts.extend(spec.argv)
    if spec.until_output:
        parts.append("until-output")
    return " ".join(parts)


def choose(scenarios: Sequence[Scenario], per_family: int | None, pace: Pace = HOST) -> list[Scenario]:
    """At most `per_family` scenarios of each family, for one arm: primary ones first, then the cheapest.

    A slow arm also takes those that start an instance of their own: claims about such an arm ask what an
    instance costs to start, in memory and on disk, and a slice takes it many times as long as other arms.
    """
    if per_family is None:
        return list(scenarios)

    def rank(scenario: Scenario) -> tuple[float, float]:
        return -_weight(scenario), visit_s(scenario, pace)

    kept = [s for s in scenarios if pace.slow and s.kind == "instance" and _is_primary(s)]
    counted = [s for s in scenarios if s not in kept]
    for family in dict.fromkeys(s.family for s in counted):
        kept.extend(sorted((s for s in counted if s.family == family), key=rank)[:per_family])
    return [s for s in scenarios if s in kept]


def too_slow(
    profile: Profile,
    arms: Iterable[ArmPlan],
    scenarios: Sequence[Scenario],
    unsupported: Excluded = frozenset(),
) -> Excluded:
    """(arm, scenario) pairs that a profile leaves out for slowness; `unsupported` ones do not count."""
    kept = [
        s for s in choose(scenarios, profile.per_family) if not profile.slow_primary_only or _is_primary(s)
    ]
    slow: set[tuple[str, str]] = set()
    for arm in (arm for arm in arms if pace(arm).slow):
        able = [s for s in kept if (arm.name, s.name) not in unsupported]
        taken = {s.name for s in choose(able, profile.slow_per_family, pace(arm))}
        slow.update((arm.name, s.name) for s in scenarios if s.name not in taken)
    return frozenset(slow)


def make_plan(
    profile: Profile,
    seed: int,
    arms: Sequence[ArmPlan],
    scenarios: Sequence[Scenario],
    *,
    cpus: tuple[int, ...] = (),
    excluded: Excluded = frozenset(),
    prices: Prices | None = None,
) -> Plan:
    """The plan of a run. prices: what visits cost on this host, where that is known. Raises PlanError without
    a baseline or without a scenario that it can run."""
    baseline = [arm.name for arm in arms if arm.role == "baseline"]
    if len(baseline) != 1:
        raise PlanError(f"a plan needs exactly one baseline arm, got {baseline or 'none'}")
    able = [s for s in scenarios if s.spec.engine or (baseline[0], s.name) not in excluded]
    able = [s for s in able if any((arm.name, s.name) not in excluded for arm in arms)]
    chosen = choose(able, profile.per_family)
    if not chosen:
        raise PlanError(
            "no scenario is left to run: every one was excluded by its family or by the backends here"
        )
    draft = _Draft(profile, tuple(arms), tuple(chosen), excluded, prices)
    return Plan(
        profile=profile.name,
        seed=seed,
        arms=tuple(arms),
        scenarios=tuple(s.name for s in chosen),
        metrics=_metrics(chosen),
        sessions=profile.sessions,
        looks=_looks(profile),
        steps=tuple(draft.steps(random.Random(seed))),
        cpus=cpus,
        budget_s=profile.budget_s,
        pairing="copies",
        thinned=tuple(draft.thinned),
        prices=prices,
        left_out=profile.left_out,
    )


def warmups(
    plan: Plan, session: int, group: str, scenarios: Mapping[str, Scenario], profile: Profile
) -> list[Step]:
    """The uncounted first slices of a group's fresh instances: all, or each fast arm's cheapest."""
    if group == OWN or profile.warmup == "none":
        return []
    members = [step for step in plan.steps if step.group == group]
    paces = paces_of(plan)
    cheapest = _cheapest(members, scenarios, paces)
    return _first_slices([s for s in members if s.session == session], cheapest, profile, paces)


def paces_of(plan: Plan) -> dict[str, Pace]:
    """The pace of each arm by its name."""
    return {arm.name: pace(arm, plan.prices) for arm in plan.arms}


def forecast(plan: Plan, scenarios: Mapping[str, Scenario], profile: Profile) -> list[tuple[int, str, float]]:
    """(session, group, seconds) in plan order: instance starts, warm-ups and visits."""
    groups: dict[str, list[Step]] = {}
    visits: dict[tuple[int, str], list[Step]] = {}
    for step in plan.steps:
        groups.setdefault(step.group, []).append(step)
        visits.setdefault((step.session, step.group), []).append(step)
    paces = paces_of(plan)
    cheapest = {group: _cheapest(members, scenarios, paces) for group, members in groups.items()}
    found = []
    for (session, group), steps in visits.items():
        seconds = sum(step_s(step, scenarios[step.scenario], paces[step.arm]) for step in steps)
        if group != OWN:
            seconds += sum(paces[arm].start_s for arm in {step.arm for step in steps})
            warm = _first_slices(steps, cheapest[group], profile, paces)
            seconds += sum(visit_s(scenarios[step.scenario], paces[step.arm]) for step in warm)
        found.append((session, group, seconds))
    return found


def step_s(step: Step, scenario: Scenario, pace: Pace) -> float:
    """Forecast seconds of a step; what is read from an instance that runs anyway takes none."""
    return 0.0 if step.group != OWN and scenario.kind == "instance" else visit_s(scenario, pace)


def _cheapest(
    steps: Iterable[Step], scenarios: Mapping[str, Scenario], paces: Mapping[str, Pace]
) -> dict[str, Step]:
    """Of each arm the first step of its cheapest scenario."""
    first = {(step.arm, step.scenario): step for step in reversed(list(steps))}
    best: dict[str, tuple[float, int, Step]] = {}
    for (arm, scenario), step in first.items():
        offer = (visit_s(scenarios[scenario], paces[arm]), step.order, step)
        best[arm] = min(best.get(arm, offer), offer, key=lambda one: one[:2])
    return {arm: step for arm, (_, _, step) in best.items()}


def _first_slices(
    steps: Sequence[Step], cheapest: Mapping[str, Step], profile: Profile, paces: Mapping[str, Pace]
) -> list[Step]:
    """The warm-ups of one group in one session, of which these are the steps."""
    if profile.warmup == "none":
        return []
    if profile.warmup == "all":
        return list({(step.arm, step.scenario): step for step in reversed(steps)}.values())[::-1]
    return [cheapest[arm] for arm in dict.fromkeys(step.arm for step in steps) if not paces[arm].slow]


def _add(found: list[Step], session: int, group: str, block: int, scenario: str, arm: str) -> None:
    order = len(found)
    found.append(Step(order=order, session=session, block=block, group=group, scenario=scenario, arm=arm))


def neighbours(arms: Iterable[ArmPlan]) -> tuple[tuple[str, str], ...]:
    """The pairs that verdicts about the run's subject rest on: baseline and subject, and their copies."""
    copy = {arm.twin_of: arm.name for arm in arms if arm.twin_of}
    base = next((arm.name for arm in arms if arm.role == "baseline"), "")
    subject = next((arm.name for arm in arms if arm.is_system and arm.name in copy), "")
    return ((base, subject), (copy[base], copy[subject])) if subject and base in copy else ()


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


def _looks(profile: Profile) -> Looks | None:
    if not 0 < profile.first_look <= profile.sessions:
        return None
    return Looks(first=profile.first_look, last=profile.sessions)


def _is_primary(scenario: Scenario) -> bool:
    return any(metric.role == "primary" for metric in scenario.metrics)


def _weight(scenario: Scenario) -> float:
    """How much one more visit is worth, by its most important metric."""
    return max((_WEIGHT[metric.role] for metric in scenario.metrics), default=0.5)


@functools.cache
def _of_sentences() -> frozenset[str]:
    """Metrics that decide one of the seven sentences."""
    return frozenset(metric for claim in claims.load().claim if claim.number for metric in claim.primary)


@functools.cache
def _own_questions() -> frozenset[str]:
    """Metrics that decide no more than a question of the suite's own."""
    return frozenset(metric for claim in claims.load().claim for metric in claim.primary) - _of_sentences()


def _may_thin(scenario: Scenario) -> bool:
    """Whether no sentence rests on a scenario: it decides nothing, or a question of the suite's own."""
    return all(metric.role != "primary" or metric.name in _own_questions() for metric in scenario.metrics)


class _Draft:
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
        self.scenarios = scenarios
        idle = {(arm.name, s.name) for arm in arms for s in scenarios if not serves(arm, s)}
        self.excluded = excluded | idle
        self.looks = _looks(profile)
        self.core = self.looks.first if self.looks else profile.sessions
        self.groups: dict[str, list[Scenario]] = {}
        for scenario in scenarios:
            self.groups.setdefault(group_of(scenario), []).append(scenario)
        self.thinned: dict[str, int | None] = {}
        self.served = self._serving()
        self.in_core = self._fill()

    def attends(self, arm: str, scenario: Scenario) -> bool:
        return (arm, scenario.name) not in self.excluded

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
        if self.looks is None or scenario.kind == "instance" or not _is_primary(scenario):
            return 1
        return min(self.most(scenario), PAIRS.get(scenario.family, 1))

    def joined(self, arm: str, visits: int, session: int) -> int:
        """How many of a scenario's visits in a session an arm joins."""
        if not self.paces[arm].slow:
            return visits
        return min(visits, self.profile.slow_visits) if session < self.profile.slow_sessions else 0

    def price(self, scenario: Scenario, visits: int) -> float:
        """Forecast seconds of a scenario over the core, with so many visits a session."""
        return sum(
            visit_s(scenario, self.paces[arm])
            * sum(
                self.joined(arm, visits, session)
                for session in range(self.core)
                if self._comes(scenario, session)
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
                (_weight(s) / (now * (now + 1)) / max(cost, 1e-9), cost, s.name)
                for s in self.scenarios
                if self.thinned.get(s.name, 0) is not None
                and (now := visits[s.name]) < self.most(s)
                and (cost := self.price(s, now + 1) - self.price(s, now)) <= left
            ]
            if not offers:
                return visits
            _, cost, name = max(offers)
            visits[name] += 1
            left -= cost

    def _thin(self, left: float) -> float:
        """Let what no sentence rests on come in every second session, the dearest first, until the rest fits;
        then let the suite's own questions wait until after the core.

        left: seconds, below zero where the core exceeds its share; returns what they are then. Only a core of
        several sessions is thinned.
        """
        least = DEAR * self.profile.budget_s
        slow = [arm for arm, one in self.paces.items() if one.slow]
        dear = [s for s in self.scenarios if _may_thin(s) and self.price(s, 1) > least]
        # A slow arm comes to few sessions, and needs all of them for a verdict.
        dear = [s for s in dear if not any(self.attends(arm, s) for arm in slow)]
        dear.sort(key=lambda s: -self.price(s, 1))
        for place, scenario in enumerate(dear if self.looks and self.core > 3 else ()):
            if left >= 0:
                break
            before = self.price(scenario, 1)
            self.thinned[scenario.name] = place % 2
            left += before - self.price(scenario, 1)
        for scenario in [s for s in dear if s.name in self.thinned and _is_primary(s)]:
            if left >= 0:
                break
            left += self.price(scenario, 1)
            self.thinned[scenario.name] = None
        return left

    def _comes(self, scenario: Scenario, session: int) -> bool:
        """Whether a session of the core has a scenario."""
        return self.thinned.get(scenario.name, session % 2) == session % 2

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
        for arm in [arm for arm, serving in self.served.items() if serving == group]:
            self._served_steps(session, group, arm, found)
        blocks = max(self.visits(s, session) for s in members)
        due = {s.name: self._due(s, session, blocks) for s in members}
        for block in range(blocks):
            turn = [s for s in members if block in due[s.name]]
            rng.shuffle(turn)
            for scenario in turn:
                visit = due[scenario.name].index(block)
                arms = self._turn_arms(scenario, session, visit, len(due[scenario.name]))
                for arm in self._in_order(rng, arms):
                    _add(found, session, group, block, scenario.name, arm)

    def _served_steps(self, session: int, group: str, arm: str, found: list[Step]) -> None:
        """What is read from an arm's instance before its first slice."""
        for scenario in self.groups.get(OWN, ()):
            if (
                self._is_served(arm, scenario)
                and self.attends(arm, scenario)
                and self.joined(arm, 1, session)
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

    def _due(self, scenario: Scenario, session: int, blocks: int) -> list[int]:
        """The blocks of a session that a scenario is visited in."""
        most = -(-blocks // max(1, scenario.every_nth_block))
        return spread(min(self.visits(scenario, session), most), blocks)

    def _turn_arms(self, scenario: Scenario, session: int, visit: int, visits: int) -> list[str]:
        return [
            arm
            for arm in self.paces
            if self.attends(arm, scenario)
            and not self._is_served(arm, scenario)
            and visit in spread(self.joined(arm, visits, session), visits)
        ]


def encoded(plan: Plan) -> bytes:
    """The plan as canonical JSON: two plans are the same when these bytes are."""
    return msgspec.json.encode(plan)
