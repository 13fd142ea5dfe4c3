"""Keeps slow arms (emulated VMs) from eating the time of those the run is about.

They may take SLOW_SHARE of the budget. When the pace seen so far would take them beyond it, each keeps only
the cheapest scenario of every family; once the share is spent they are left out of what remains.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from bench.model import Step
from bench.plan import OWN
from bench.profiles import pace, visit_s
from bench.scenarios.base import Scenario

SLOW_SHARE = 0.55

Level = Literal["all", "essential", "none"]


class SlowArms:
    """The account of the slow arms of one run; steps: all that are to be measured, in order.

    spent_s: seconds they took before the run was cut and went on.
    """

    def __init__(
        self,
        steps: Sequence[Step],
        scenarios: Mapping[str, Scenario],
        budget_s: float,
        spent_s: float = 0.0,
    ) -> None:
        self._scenarios = scenarios
        self._share_s = SLOW_SHARE * budget_s
        mine = [step for step in steps if pace(step.arm).slow]
        self._essential = _cheapest(mine, scenarios)
        instances = {(step.session, step.group, step.arm) for step in mine if step.group != OWN}
        self._ahead = sum(self._forecast(step) for step in mine)
        self._ahead += sum(pace(arm).start_s for _, _, arm in instances)
        self._behind = 0.0
        self._took = 0.0
        self._spent = spent_s

    def level(self) -> Level:
        """What slow arms may do from here on."""
        if self._spent > self._share_s:
            return "none"
        rate = self._took / self._behind if self._behind else 1.0
        return "all" if self._spent + self._ahead * rate <= self._share_s else "essential"

    def keeps(self, step: Step, level: Level) -> bool:
        """Whether a step is to be run at that level. Steps of other arms always are."""
        if level == "all" or not pace(step.arm).slow:
            return True
        return level == "essential" and (step.arm, step.scenario) in self._essential

    def started(self, arm: str, seconds: float) -> None:
        """An instance was started in so many seconds."""
        self._account(arm, pace(arm).start_s, seconds)

    def ran(self, step: Step, seconds: float) -> None:
        """A step took so many seconds."""
        self._account(step.arm, self._forecast(step), seconds)

    def dropped(self, steps: Iterable[Step]) -> None:
        """These steps will not be run."""
        self._ahead -= sum(self._forecast(step) for step in steps if pace(step.arm).slow)

    def _account(self, arm: str, forecast_s: float, seconds: float) -> None:
        if pace(arm).slow:
            self._ahead -= forecast_s
            self._behind += forecast_s
            self._spent += seconds
            self._took += seconds

    def _forecast(self, step: Step) -> float:
        return visit_s(self._scenarios[step.scenario], step.arm)


def _cheapest(steps: Iterable[Step], scenarios: Mapping[str, Scenario]) -> frozenset[tuple[str, str]]:
    """(arm, scenario): of each arm the cheapest scenario of every family (the first listed where alike)."""
    best: dict[tuple[str, str], Step] = {}
    listed = {name: place for place, name in enumerate(scenarios)}
    for step in sorted(steps, key=lambda step: listed[step.scenario]):
        known = best.setdefault((step.arm, scenarios[step.scenario].family), step)
        if visit_s(scenarios[step.scenario], step.arm) < 0.9 * visit_s(scenarios[known.scenario], step.arm):
            best[step.arm, scenarios[step.scenario].family] = step
    return frozenset((step.arm, step.scenario) for step in best.values())
