"""What of a plan is measured whatever it takes."""

from __future__ import annotations

from collections.abc import Mapping

from bench.model import Place, Plan
from bench.plan.choice import is_primary
from bench.profiles import MIN_SESSIONS
from bench.scenarios.base import Scenario


def least_sessions(plan: Plan) -> int:
    """Sessions that are measured in any case: there is no verdict without them."""
    return MIN_SESSIONS * plan.every


def guarded(plan: Plan, scenarios: Mapping[str, Scenario]) -> frozenset[int]:
    """The orders of the steps that are run in any case: each arm's first visit of what decides a claim, in
    each of those sessions."""
    first: dict[tuple[Place, int], int] = {}
    for step in plan.steps:
        if step.session < least_sessions(plan) and is_primary(scenarios[step.scenario]):
            first.setdefault(((step.scenario, step.arm), step.session), step.order)
    return frozenset(first.values())
