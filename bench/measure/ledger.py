"""What has become of each step of a plan: the one account that the runner keeps and every decision reads."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping

import msgspec

from bench.journal import Contents
from bench.measure.slices import Taken
from bench.model import Place, Plan, Prices, Sample, Step
from bench.plan import guarded, paces_of, step_s
from bench.profiles import visit_s
from bench.scenarios.base import Scenario


class RunLedger:
    """The account of a run; what was measured before an interruption is in it from the start.

    done: steps that were measured. settled: those, and the ones that were left out. steps: measured by this
    process. behind_s: forecast seconds of the work that is over, whatever it really took. must_s: of what is
    still measured whatever the budget (see `is_guarded`).
    """

    def __init__(self, plan: Plan, scenarios: Mapping[str, Scenario], so_far: Contents | None = None) -> None:
        self.samples: list[Sample] = list(so_far.samples) if so_far else []
        self.done = set(so_far.done) if so_far else set()
        self.settled = set(so_far.settled) if so_far else set()
        self.steps = 0
        self._plan = plan
        self._scenarios = scenarios
        self._paces = paces_of(plan)
        self._visits: defaultdict[Place, list[float]] = defaultdict(list)
        self._starts: defaultdict[str, list[float]] = defaultdict(list)
        seconds = so_far.seconds if so_far else {}
        for step in plan.steps:
            if step.order in seconds:
                self._visits[step.scenario, step.arm].append(seconds[step.order])
        self.behind_s = self._in_core(step for step in plan.steps if step.order in self.settled)
        self._guarded = guarded(plan, scenarios)
        must = [step for step in plan.steps if step.order not in self.settled and self.is_guarded(step)]
        self._must = {step.order: self.forecast(step) for step in must}
        self.must_s = sum(self._must.values())

    def is_guarded(self, step: Step) -> bool:
        """Whether it is run whatever it takes (bench.plan.guard)."""
        return step.order in self._guarded

    def started(self, arm: str, seconds: float) -> None:
        """An instance of an arm was started."""
        self._starts[arm].append(seconds)
        self.behind_s += self._paces[arm].start_s

    def warmed_up(self, step: Step) -> None:
        """A slice was run that does not count."""
        self.behind_s += self.forecast(step)

    def measured(self, step: Step, taken: Taken) -> None:
        """A step was measured."""
        self.samples += taken.samples
        self.done.add(step.order)
        self.settled.add(step.order)
        self.steps += 1
        self._visits[step.scenario, step.arm].append(taken.seconds)
        self.behind_s += self.forecast(step)
        self.must_s -= self._must.pop(step.order, 0.0)

    def left_out(self, steps: Collection[Step]) -> None:
        """Steps will not be measured."""
        self.settled.update(step.order for step in steps)
        self.behind_s += self._in_core(steps)
        self.must_s -= sum(self._must.pop(step.order, 0.0) for step in steps)

    def open(self, steps: Iterable[Step]) -> list[Step]:
        """Those of the steps that were neither measured nor left out."""
        return [step for step in steps if step.order not in self.settled]

    def not_left_out(self) -> Plan:
        """The plan without what was left out: an arm that is gone keeps no scenario open."""
        steps = self._plan.steps
        kept = tuple(step for step in steps if step.order in self.done or step.order not in self.settled)
        return msgspec.structs.replace(self._plan, steps=kept)

    def forecast(self, step: Step) -> float:
        """Seconds that a step was forecast to take."""
        return step_s(step, self._scenarios[step.scenario], self._paces[step.arm])

    def spent(self, arms: Collection[str]) -> tuple[float, float]:
        """(seconds, forecast seconds) of all starts and visits of some arms so far."""
        took = forecast = 0.0
        for (scenario, arm), seconds in self._visits.items():
            if arm in arms:
                took += sum(seconds)
                forecast += len(seconds) * visit_s(self._scenarios[scenario], self._paces[arm])
        for arm, seconds in self._starts.items():
            if arm in arms:
                took += sum(seconds)
                forecast += len(seconds) * self._paces[arm].start_s
        return took, forecast

    def prices(self, elapsed_s: float) -> Callable[[str, str], float]:
        """(scenario, arm) → seconds of a visit: the mean of those measured, else the forecast.

        Both are scaled by what lies between visits (starts, warm-ups), which follows from `elapsed_s`, the
        seconds that the run has measured for.
        """
        total = sum(map(sum, self._visits.values()))
        factor = max(1.0, elapsed_s / total) if total > 0 else 1.0

        def price(scenario: str, arm: str) -> float:
            seen = self._visits.get((scenario, arm))
            once = statistics.fmean(seen) if seen else visit_s(self._scenarios[scenario], self._paces[arm])
            return factor * once

        return price

    def learnt(self, run: str) -> Prices:
        """What visits and starts cost, for the next plan: medians, which one slow visit does not move."""
        visits: dict[str, dict[str, float]] = {}
        for (scenario, arm), seconds in self._visits.items():
            visits.setdefault(scenario, {})[arm] = round(statistics.median(seconds), 4)
        starts = {arm: round(statistics.median(seconds), 4) for arm, seconds in self._starts.items()}
        return Prices(run=run, visits=visits, starts=starts)

    def _in_core(self, steps: Iterable[Step]) -> float:
        """Forecast seconds of those steps that lie before the first look.

        What is ahead after it is forecast anew by each look, and holds nothing that is left out.
        """
        return sum(self.forecast(step) for step in steps if step.session < self._plan.core)
