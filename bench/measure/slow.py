"""Keeps slow arms (emulated VMs) from taking the time of the arms that the run is about.

They may take SLOW_SHARE of the budget. When the pace seen so far would take them beyond it, each keeps only
the cheapest scenario of every family; once the share is spent they are left out of what remains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

from bench.measure.ledger import RunLedger
from bench.model import Plan, Step
from bench.plan import OWN, paces_of
from bench.profiles import Pace, visit_s
from bench.scenarios.base import Scenario

SLOW_SHARE = 0.55

Level = Literal["all", "essential", "none"]


class SlowArms:
    """What the slow arms of a run may still do, by the ledger's account of their time."""

    def __init__(self, plan: Plan, scenarios: Mapping[str, Scenario], ledger: RunLedger) -> None:
        self._ledger = ledger
        self._paces = paces_of(plan)
        self._share_s = SLOW_SHARE * plan.budget_s
        self._arms = frozenset(name for name, pace in self._paces.items() if pace.slow)
        self._steps = [step for step in plan.steps if step.arm in self._arms]
        self._essential = _cheapest(ledger.open(self._steps), scenarios, self._paces)

    def level(self) -> Level:
        """What slow arms may do from here on."""
        took, forecast = self._ledger.spent(self._arms)
        if took > self._share_s:
            return "none"
        rate = took / forecast if forecast else 1.0
        return "all" if took + self._ahead() * rate <= self._share_s else "essential"

    def keeps(self, step: Step, level: Level) -> bool:
        """Whether a step is to be run at that level. Steps of other arms always are."""
        if level == "all" or step.arm not in self._arms:
            return True
        return level == "essential" and (step.arm, step.scenario) in self._essential

    def _ahead(self) -> float:
        """Forecast seconds of the visits that are left, and of the instances that they need."""
        left = self._ledger.open(self._steps)
        instances = {(step.session, step.group, step.arm) for step in left if step.group != OWN}
        starts = sum(self._paces[arm].start_s for _, _, arm in instances)
        return starts + sum(map(self._ledger.forecast, left))


def _cheapest(
    steps: Iterable[Step], scenarios: Mapping[str, Scenario], paces: Mapping[str, Pace]
) -> frozenset[tuple[str, str]]:
    """(arm, scenario): of each arm the cheapest scenario of every family (the first listed where alike)."""
    best: dict[tuple[str, str], Step] = {}
    listed = {name: place for place, name in enumerate(scenarios)}
    for step in sorted(steps, key=lambda step: listed[step.scenario]):
        pace = paces[step.arm]
        known = best.setdefault((step.arm, scenarios[step.scenario].family), step)
        if visit_s(scenarios[step.scenario], pace) < 0.9 * visit_s(scenarios[known.scenario], pace):
            best[step.arm, scenarios[step.scenario].family] = step
    return frozenset((step.arm, step.scenario) for step in best.values())
