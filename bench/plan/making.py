"""The way from profile, seed, arms and scenarios to a plan."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

import msgspec

from bench.errors import ExpectedError
from bench.model import ArmPlan, Metric, Plan, Prices
from bench.plan.choice import Excluded, choose
from bench.plan.draft import Draft
from bench.profiles import Profile
from bench.scenarios.base import Scenario


class PlanError(ExpectedError):
    """No plan can be made of the inputs; the message says why."""


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
    draft = Draft(profile, tuple(arms), tuple(chosen), excluded, prices)
    return Plan(
        profile=profile.name,
        seed=seed,
        arms=tuple(arms),
        scenarios=tuple(s.name for s in chosen),
        metrics=_metrics(chosen),
        sessions=profile.sessions,
        looks=draft.looks,
        steps=tuple(draft.steps(random.Random(seed))),
        cpus=cpus,
        budget_s=profile.budget_s,
        pairing="copies",
        thinned=tuple(draft.thinned),
        prices=prices,
        left_out=profile.left_out,
        by_turns=tuple(s.name for s in chosen if s.by_turns),
        every=draft.every,
    )


def _metrics(scenarios: Iterable[Scenario]) -> tuple[Metric, ...]:
    found: dict[str, Metric] = {}
    for scenario in scenarios:
        for metric in scenario.metrics:
            if found.setdefault(metric.name, metric) != metric:
                raise PlanError(f"metric {metric.name!r} is defined twice, differently, by {scenario.name!r}")
    return tuple(found.values())


def encoded(plan: Plan) -> bytes:
    """The plan as canonical JSON: two plans are the same when these bytes are."""
    return msgspec.json.encode(plan)
