"""One step of the plan: take its slice, handle a failure, record the host's conditions, repeat if needed."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from bench.backends.base import BackendError
from bench.journal import StoreError
from bench.measure.arm import Arm
from bench.measure.family_resources import FamilyResources
from bench.measure.noise import Gauge, SliceConditions
from bench.measure.pressure import ONE_SHARE, REPEAT_SHARE, TAKES, Usual, one_thread
from bench.measure.time_budget import SECOND, TimeBudget
from bench.model import Plan, Sample, Step
from bench.plan import OWN
from bench.scenarios.base import Context, Reading, Scenario, ScenarioError, Turns, error_text
from bench.scenarios.turns import by_turns

STRIKES = 3
"""Failures in a row after which an arm is left out for the rest of a session."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """The result of a step: its samples of every take, and the seconds of all takes."""

    samples: tuple[Sample, ...]
    seconds: float


class _Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """What came of running a slice: its readings, or the error that ended it. fine: the scenario ran."""

    start_ns: int
    readings: list[Reading] = []
    error: Exception | None = None
    fine: bool = False


class SliceTaker:
    """Runs slices and makes samples of them. resources: what families share; before: earlier samples."""

    def __init__(
        self,
        run_id: str,
        plan: Plan,
        scenarios: Mapping[str, Scenario],
        clock: Callable[[], int],
        budget: TimeBudget,
        gauge: Gauge,
        note: Callable[[str], None],
        resources: FamilyResources,
        before: Sequence[Sample] = (),
    ) -> None:
        self._resources = resources
        self.strikes: dict[str, int] = {}
        self.last_reason: dict[str, str] = {}
        self._run_id = run_id
        self._plan = plan
        self._scenarios = scenarios
        self._clock = clock
        self._budget = budget
        self._gauge = gauge
        self._note = note
        self._metrics = {metric.name: metric for metric in plan.metrics}
        self._extra = {arm.name: arm.extra for arm in plan.arms}
        families = {name: one.family for name, one in scenarios.items()}
        self._usual = Usual(before, one_thread(plan, families))
        self._repeated_s = _repeated_s(before)

    def given_up(self, step: Step) -> str:
        """Why the step's arm is not measured any more in this session; "" while it is."""
        if self.strikes.get(step.arm, 0) < STRIKES:
            return ""
        reason = f"{step.arm} was left out of session {step.session} after {STRIKES} failures in a row"
        return f"{reason}, the last: {self.last_reason.get(step.arm, '')}"

    def did_not_start(self, arm: str, failure: str) -> None:
        """An instance of an arm could not be started, which counts as a failure in a row."""
        self.strikes[arm] = self.strikes.get(arm, 0) + 1
        self.last_reason[arm] = failure

    def take_by_turns(self, turn: Sequence[tuple[Step, Arm]]) -> list[Taken]:
        """Take the slices of several arms at once, by turns of milliseconds on one CPU.

        The arms share what the host was like, and their seconds are shared out evenly. None is taken again:
        pressure from outside meets all of them alike.
        """
        before, begun = self._gauge.read(), self._clock()
        attempts = self._attempts(turn)
        duration = self._clock() - begun
        conditions = self._gauge.conditions(before, self._gauge.read(), duration)
        # What the host's CPUs did in all is not an account of any one arm's slice.
        shared = msgspec.structs.replace(conditions, busy_s=None)
        return [
            Taken(
                samples=tuple(
                    self._sample(step, reading, shared, 0) for reading in self._settled(step, arm, attempt)
                ),
                seconds=duration / SECOND / len(turn),
            )
            for (step, arm), attempt in zip(turn, attempts, strict=True)
        ]

    def _attempts(self, turn: Sequence[tuple[Step, Arm]]) -> list[_Attempt]:
        """Run the slices of several arms, each in a thread that waits for its program."""

        def attempt(place: Turns) -> _Attempt:
            step, arm = turn[place.index]
            return self._attempt(step, self._scenarios[step.scenario], arm, place)

        return by_turns(len(turn), attempt, self._clock)

    def take(self, step: Step, arm: Arm) -> Taken:
        """Take a slice, and take it again at once while it was under pressure and the budget allows it."""
        scenario = self._scenarios[step.scenario]
        samples: list[Sample] = []
        begun = self._clock()
        for take in range(TAKES):
            before, start = self._gauge.read(), self._clock()
            readings = self._slice(step, scenario, arm)
            duration = self._clock() - start
            conditions = self._gauge.conditions(before, self._gauge.read(), duration)
            pressure = self._usual.pressure((step.scenario, step.arm), conditions)
            self._usual.learn((step.scenario, step.arm), conditions)
            taken = [self._sample(step, reading, conditions, take) for reading in readings]
            if not pressure or take + 1 == TAKES or not self._may_repeat(taken, duration / SECOND):
                samples += taken
                break
            samples += [_set_aside(one, pressure) for one in taken]
        return Taken(samples=tuple(samples), seconds=(self._clock() - begun) / SECOND)

    def warm_up(self, step: Step, arm: Arm) -> None:
        """Run it and forget it: neither its readings nor its failure count."""
        strikes = self.strikes.get(arm.name, 0)
        self._slice(step, self._scenarios[step.scenario], arm)
        self.strikes[arm.name] = strikes

    def _may_repeat(self, taken: Sequence[Sample], seconds: float) -> bool:
        """Whether another take of that length fits into what repetitions may take; never after a failure."""
        budget = self._plan.budget_s
        fits = seconds <= ONE_SHARE * budget and self._repeated_s + seconds <= REPEAT_SHARE * budget
        if not fits or seconds > self._budget.left() or not any(one.valid for one in taken):
            return False
        self._repeated_s += seconds
        return True

    def _slice(self, step: Step, scenario: Scenario, arm: Arm) -> list[Reading]:
        """The readings of one visit; a failure gives one invalid reading for each metric."""
        return self._settled(step, arm, self._attempt(step, scenario, arm))

    def _attempt(self, step: Step, scenario: Scenario, arm: Arm, turns: Turns | None = None) -> _Attempt:
        """Try to run a slice. It changes nothing here, so several may be tried at once."""
        start = self._clock()
        if arm.failure:
            return _Attempt(start_ns=start, readings=self._failed(scenario, start, arm.failure))
        try:
            if step.group != OWN and scenario.from_start and arm.instance is not None:
                readings = scenario.of_start(arm.instance)
            else:
                readings = scenario.run(self._context(step, arm, turns))
            _check(scenario, readings)
        except StoreError:
            raise
        except Exception as error:
            return _Attempt(start_ns=start, error=error)
        return _Attempt(start_ns=start, readings=readings, fine=True)

    def _settled(self, step: Step, arm: Arm, attempt: _Attempt) -> list[Reading]:
        """The readings of an attempt, and what follows from a failure: a strike, and another worker."""
        if attempt.fine:
            self.strikes[arm.name] = 0
        if attempt.error is None:
            return attempt.readings
        reason = error_text(attempt.error)
        if not isinstance(attempt.error, ScenarioError | BackendError):
            # A bug in one scenario must not cost the run of the others.
            self._note(f"step {step.order}: {''.join(traceback.format_exception(attempt.error, limit=-4))}")
        self.strikes[arm.name] = self.strikes.get(arm.name, 0) + 1
        self.last_reason[arm.name] = reason
        arm.recover()
        return self._failed(self._scenarios[step.scenario], attempt.start_ns, reason)

    def _context(self, step: Step, arm: Arm, turns: Turns | None) -> Context:
        return Context(
            backend=arm.backend,
            instance=arm.instance,
            worker=arm.worker,
            wire=self._resources.get("network"),
            registry=self._resources.get("image"),
            session=step.session,
            block=step.block,
            cpus=self._plan.cpus,
            extra=self._extra[step.arm],
            turns=turns,
            starts=arm.starts,
        )

    def _failed(self, scenario: Scenario, start_ns: int, reason: str) -> list[Reading]:
        duration = self._clock() - start_ns
        return [
            Reading(
                metric=metric.name,
                value=math.nan,
                start_ns=start_ns,
                duration_ns=duration,
                valid=False,
                reason=reason,
            )
            for metric in scenario.metrics
        ]

    def _sample(self, step: Step, reading: Reading, conditions: SliceConditions, take: int) -> Sample:
        metric = self._metrics[reading.metric]
        finite = math.isfinite(reading.value)
        valid = finite and reading.valid
        return Sample(
            run=self._run_id,
            session=step.session,
            block=step.block,
            order=step.order,
            scenario=step.scenario,
            arm=step.arm,
            metric=metric.name,
            unit=metric.unit,
            better=metric.better,
            value=reading.value if finite else None,
            start_ns=reading.start_ns,
            duration_ns=reading.duration_ns,
            valid=valid,
            set_aside="" if valid else "rejected" if finite else "failed",
            reason=reading.reason or ("" if finite else f"{step.scenario} gave {reading.value}"),
            stall_share=conditions.stall_share,
            steal_share=conditions.steal_share,
            frequency_mhz=conditions.frequency_mhz,
            switches=conditions.switches,
            busy_s=conditions.busy_s,
            take=take,
        )


def _check(scenario: Scenario, readings: Sequence[Reading]) -> None:
    unknown = {reading.metric for reading in readings} - {metric.name for metric in scenario.metrics}
    if unknown:
        raise ScenarioError(
            f"{scenario.name} gave readings of metrics it does not declare: {sorted(unknown)}"
        )


def _set_aside(sample: Sample, pressure: str) -> Sample:
    """An earlier take: it keeps its value and does not count. One that had failed keeps its own reason."""
    if not sample.valid:
        return sample
    return msgspec.structs.replace(sample, valid=False, set_aside="pressure", reason=pressure)


def _repeated_s(samples: Iterable[Sample]) -> float:
    """About the seconds that repetitions took in a run that was cut: each reading's own time, once."""
    return sum(one.duration_ns for one in samples if one.take > 0) / SECOND
