"""What a plan costs: instances, warm-ups, visits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from bench.model import Plan, Step
from bench.profiles import Pace, Profile, pace, visit_s
from bench.scenarios.base import Scenario

OWN = "own"
"""The group of scenarios that start instances of their own."""


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
