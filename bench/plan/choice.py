"""Which scenarios a profile takes for whom, and what their visits are worth."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence

from bench import claims
from bench.model import ArmPlan
from bench.profiles import HOST, Pace, Profile, pace, visit_s
from bench.scenarios.base import Scenario

_WEIGHT = {"primary": 10.0, "stress": 1.0, "info": 0.5}
"""What a visit is worth. Visits grow with its root: three of a primary metric for one of a stress metric."""

Excluded = frozenset[tuple[str, str]]
"""(arm, scenario) pairs that a backend said it cannot run."""


def choose(scenarios: Sequence[Scenario], per_family: int | None, pace: Pace = HOST) -> list[Scenario]:
    """At most `per_family` scenarios of each family, for one arm: primary ones first, then the cheapest.

    A slow arm also takes those that start an instance of their own: claims about such an arm ask what an
    instance costs to start, in memory and on disk, and a slice takes it many times as long as other arms.
    """
    if per_family is None:
        return list(scenarios)

    def rank(scenario: Scenario) -> tuple[float, float]:
        return -weight(scenario), visit_s(scenario, pace)

    kept = [s for s in scenarios if pace.slow and s.kind == "instance" and is_primary(s)]
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
        s for s in choose(scenarios, profile.per_family) if not profile.slow_primary_only or is_primary(s)
    ]
    slow: set[tuple[str, str]] = set()
    for arm in (arm for arm in arms if pace(arm).slow):
        able = [s for s in kept if (arm.name, s.name) not in unsupported]
        taken = {s.name for s in choose(able, profile.slow_per_family, pace(arm))}
        slow.update((arm.name, s.name) for s in scenarios if s.name not in taken)
    return frozenset(slow)


def is_primary(scenario: Scenario) -> bool:
    """Whether one of its metrics decides a claim."""
    return any(metric.role == "primary" for metric in scenario.metrics)


def weight(scenario: Scenario) -> float:
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


def may_thin(scenario: Scenario) -> bool:
    """Whether no sentence rests on a scenario: it decides nothing, or a question of the suite's own."""
    return all(metric.role != "primary" or metric.name in _own_questions() for metric in scenario.metrics)
