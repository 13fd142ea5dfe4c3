"""The walk over a plan: sessions, groups, blocks, turns. Nothing here knows what a slice does or where.

A slice that fails becomes invalid samples with a reason, and the run goes on; an arm that fails three times
in a row is set aside for the rest of its session. A resumed run takes up the same plan: steps that the
journal has are skipped; what is left of a session that was cut gets fresh instances under the same session
number, so that cluster has two instances of each arm and the turn that was cut spans the interruption.
"""

from __future__ import annotations

import gc
import itertools
import math
import random
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Literal

import msgspec

from bench.backends.base import Backend, BackendError
from bench.failures import told
from bench.journal import DropLine, Journal, MissingLine, NoteLine, StartLine, StoreError
from bench.measure import noise
from bench.measure.arm import Arm
from bench.measure.guard import SECOND, Guard
from bench.measure.slow import SlowArms
from bench.measure.watch import Watch
from bench.model import Metric, NotMeasured, Plan, Sample, Step
from bench.plan import OWN, forecast, warmups
from bench.profiles import MIN_SESSIONS, Profile, pace, visit_s
from bench.scenarios.base import Context, Reading, Scenario, ScenarioError

STRIKES = 3
"""Failures in a row after which an arm is set aside for the rest of a session."""


class Site(msgspec.Struct, kw_only=True):
    """What a plan's names stand for here. `wire` opens the link to the remote peer, when needed."""

    run_id: str
    backends: Mapping[str, Backend]
    scenarios: Mapping[str, Scenario]
    profile: Profile
    scratch: Path
    wire: Callable[[], AbstractContextManager[object]] | None = None
    clock: Callable[[], int] = time.monotonic_ns


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended. Samples, notes and drops are in the journal."""

    status: Literal["complete", "interrupted"]
    steps: int
    seconds: float


def run(
    plan: Plan,
    site: Site,
    journal: Journal,
    *,
    done: frozenset[int] = frozenset(),
    watch: Watch | None = None,
) -> Outcome:
    """Run all steps of `plan` that are not `done`. KeyboardInterrupt ends it in order, as `interrupted`.

    Raises StoreError when the journal cannot be written; instances are stopped then too.
    """
    runner = _Runner(plan, site, journal, done, watch or Watch())
    collecting = gc.isenabled()
    gc.disable()
    gc.freeze()  # what is there by now is not looked at again, so a collection between turns takes no time
    try:
        return runner.run()
    finally:
        gc.unfreeze()
        if collecting:
            gc.enable()


class _Runner:
    def __init__(self, plan: Plan, site: Site, journal: Journal, done: frozenset[int], watch: Watch) -> None:
        self.plan = plan
        self.site = site
        self.journal = journal
        self.done = done
        self.watch = watch
        self.metrics = {metric.name: metric for metric in plan.metrics}
        self.primary = {
            scenario.name
            for scenario in site.scenarios.values()
            if any(metric.role == "primary" for metric in scenario.metrics)
        }
        self.strikes: dict[str, int] = {}
        self.last_reason: dict[str, str] = {}
        self.good: set[str] = set()
        self.measured = 0
        self.closing = ExitStack()
        self.wire: object | None = None
        todo = [step for step in plan.steps if step.order not in done]
        shares = forecast(msgspec.structs.replace(plan, steps=tuple(todo)), site.scenarios, site.profile)
        whole = sum(cost for _, _, cost in forecast(plan, site.scenarios, site.profile))
        part = sum(cost for _, _, cost in shares)
        self.todo = todo
        budget_s = plan.budget_s * (part / whole if whole else 1.0)
        self.guard = Guard(shares, budget_s, site.clock)
        self.slow = SlowArms(todo, site.scenarios, budget_s)
        self.expected_s = part

    def run(self) -> Outcome:
        status: Literal["complete", "interrupted"] = "complete"
        self.watch.begin(len(self.todo), self.expected_s)
        try:
            with self.closing:
                for session, steps in itertools.groupby(self.todo, key=lambda step: step.session):
                    self._session(session, list(steps))
            self._report_silent_arms()
        except KeyboardInterrupt:
            status = "interrupted"
        finally:
            self.watch.end()
        return Outcome(status=status, steps=self.measured, seconds=self.guard.elapsed())

    def _session(self, session: int, steps: list[Step]) -> None:
        self.strikes.clear()
        if not self.guard.session_allowed(session):
            self._drop(steps, f"session {session}: the time budget of {self.plan.budget_s:.0f} s was spent")
            return
        for group, members in itertools.groupby(steps, key=lambda step: step.group):
            self._group(session, group, list(members))
        self.journal.sync()

    def _group(self, session: int, group: str, steps: list[Step]) -> None:
        steps = self._without_slow(session, group, steps)
        if not steps:
            return
        arms = self._make_arms(session, group, steps)
        try:
            unwired = self._need_wire(steps)
            if unwired:
                for arm in arms.values():
                    arm.failure = unwired
            else:
                self._start(session, group, arms)
            for step in warmups(self.plan, session, group, self.site.scenarios, self.site.profile):
                if step.arm in arms:
                    self._warm_up(step, arms[step.arm])
            self._turns(session, group, steps, arms)
        finally:
            self._stop(arms)

    def _without_slow(self, session: int, group: str, steps: list[Step]) -> list[Step]:
        """The steps of a group, less those that slow arms have no time left for."""
        level = self.slow.level()
        out = [step for step in steps if not self.slow.keeps(step, level)]
        if out:
            arms = ", ".join(sorted({step.arm for step in out}))
            where = f"session {session}, {group}: {len(out)} visits of {arms}"
            self._drop(out, f"{where}: slower than forecast, its share of the time budget allows no more")
        return [step for step in steps if self.slow.keeps(step, level)]

    def _turns(self, session: int, group: str, steps: list[Step], arms: dict[str, Arm]) -> None:
        skipped: list[Step] = []
        for (block, name), members in itertools.groupby(steps, key=lambda step: (step.block, step.scenario)):
            turn = list(members)
            core = session < MIN_SESSIONS and block == 0 and name in self.primary
            if not core and not self.guard.turn_allowed(session, group):
                skipped += turn
                continue
            gc.collect()
            for step in turn:
                self._step(step, arms[step.arm])
        if skipped:
            where = f"session {session}, {group}: {len({(s.block, s.scenario) for s in skipped})} turns"
            self._drop(skipped, f"{where}: slower than forecast, the time budget allows no more")

    def _step(self, step: Step, arm: Arm) -> None:
        scenario = self.site.scenarios[step.scenario]
        self.watch.step(step, scenario.family)
        if self.strikes.get(arm.name, 0) >= STRIKES:
            reason = f"{arm.name} was set aside in session {step.session} after {STRIKES} failures in a row"
            self._drop([step], f"{reason}, the last: {self.last_reason.get(arm.name, '')}")
            return
        before, start = noise.read(), self.site.clock()
        readings = self._slice(step, scenario, arm)
        duration = self.site.clock() - start
        disturbed = noise.shares(before, noise.read(), duration, len(self.plan.cpus))
        samples = [self._sample(step, reading) for reading in readings]
        self.journal.step(step.order, samples, duration / SECOND, disturbed)
        self.measured += 1
        if any(sample.valid for sample in samples):
            self.good.add(arm.name)
        self.guard.passed(visit_s(scenario, arm.name))
        self.slow.ran(step, duration / SECOND)
        self.watch.advanced(1, self.guard.seconds_left())

    def _slice(self, step: Step, scenario: Scenario, arm: Arm) -> list[Reading]:
        """The readings of one visit; a failure gives one invalid reading for each metric."""
        start = self.site.clock()
        if arm.failure:
            return self._failed(scenario, start, arm.failure)
        try:
            readings = scenario.run(self._context(step, arm))
            self._check(scenario, readings)
        except (ScenarioError, BackendError) as error:
            reason = str(error)
        except StoreError:
            raise
        except Exception as error:  # a bug in one scenario must not cost the run of all the others
            reason = told(error)
            self._note(f"step {step.order}: {''.join(traceback.format_exception(error, limit=-4))}")
        else:
            self.strikes[arm.name] = 0
            return readings
        self.strikes[arm.name] = self.strikes.get(arm.name, 0) + 1
        self.last_reason[arm.name] = reason
        arm.recover()
        return self._failed(scenario, start, reason)

    def _warm_up(self, step: Step, arm: Arm) -> None:
        """Run it and forget it: neither its readings nor its failure count."""
        if not arm.failure:
            self.guard.passed(visit_s(self.site.scenarios[step.scenario], arm.name))
            strikes = self.strikes.get(arm.name, 0)
            self._slice(step, self.site.scenarios[step.scenario], arm)
            self.strikes[arm.name] = strikes

    def _context(self, step: Step, arm: Arm) -> Context:
        return Context(
            backend=arm.backend,
            instance=arm.instance,
            worker=arm.worker,
            wire=self.wire,
            session=step.session,
            block=step.block,
            cpus=self.plan.cpus,
        )

    def _check(self, scenario: Scenario, readings: Sequence[Reading]) -> None:
        unknown = {reading.metric for reading in readings} - {metric.name for metric in scenario.metrics}
        if unknown:
            raise ScenarioError(
                f"{scenario.name} gave readings of metrics it does not declare: {sorted(unknown)}"
            )

    def _failed(self, scenario: Scenario, start_ns: int, reason: str) -> list[Reading]:
        duration = self.site.clock() - start_ns
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

    def _sample(self, step: Step, reading: Reading) -> Sample:
        metric: Metric = self.metrics[reading.metric]
        finite = math.isfinite(reading.value)
        reason = reading.reason or ("" if finite else f"{step.scenario} gave {reading.value}")
        return Sample(
            run=self.site.run_id,
            session=step.session,
            block=step.block,
            order=step.order,
            scenario=step.scenario,
            backend=step.arm,
            metric=metric.name,
            unit=metric.unit,
            better=metric.better,
            value=reading.value,
            start_ns=reading.start_ns,
            duration_ns=reading.duration_ns,
            valid=reading.valid and finite,
            reason=reason,
        )

    def _make_arms(self, session: int, group: str, steps: list[Step]) -> dict[str, Arm]:
        spec = None
        if group != OWN:
            spec = msgspec.structs.replace(self.site.scenarios[steps[0].scenario].spec(), cpus=self.plan.cpus)
        pad = random.Random(f"{self.plan.seed}/{session}").randrange(4096)
        names = dict.fromkeys(step.arm for step in steps)
        return {
            name: Arm(name, self.site.backends[name], spec, self.site.scratch / f"{session}-{name}", pad)
            for name in names
        }

    def _start(self, session: int, group: str, arms: dict[str, Arm]) -> None:
        """In an order of its own, so that no arm always has the oldest instance."""
        names = sorted(arms)
        random.Random(f"{self.plan.seed}/{session}/{group}").shuffle(names)
        for name in names:
            self.watch.starting(session, group, name)
            arm, begun = arms[name], self.site.clock()
            arm.start()
            if arm.failure:
                arm.start()
            seconds = (self.site.clock() - begun) / SECOND
            self.guard.passed(pace(name).start_s)
            self.slow.started(name, seconds)
            self.journal.append(
                StartLine(session=session, group=group, arm=name, seconds=seconds, failure=arm.failure)
            )
            if arm.failure:
                self.strikes[name] = self.strikes.get(name, 0) + 1
                self.last_reason[name] = arm.failure
                self._note(f"session {session}, {group}: {name} did not start: {arm.failure}")

    def _stop(self, arms: dict[str, Arm]) -> None:
        for arm in reversed(arms.values()):
            wrong = arm.stop()
            if wrong:
                self._note(f"{arm.name} did not stop in order: {wrong}")

    def _need_wire(self, steps: list[Step]) -> str:
        """Open the wire once, when the first scenario needs it; returns why it cannot be opened."""
        needed = any(self.site.scenarios[step.scenario].family == "network" for step in steps)
        if not needed or self.wire is not None or self.site.wire is None:
            return ""
        try:
            self.wire = self.closing.enter_context(self.site.wire())
        except Exception as error:
            self._note(f"no wire to the remote peer: {told(error)}")
            return f"no wire to the remote peer: {told(error)}"
        return ""

    def _drop(self, steps: Sequence[Step], reason: str) -> None:
        self.journal.append(DropLine(orders=tuple(step.order for step in steps), reason=reason))
        self.slow.dropped(steps)
        self.guard.passed(sum(visit_s(self.site.scenarios[step.scenario], step.arm) for step in steps))
        self.watch.advanced(len(steps), self.guard.seconds_left())

    def _note(self, text: str) -> None:
        self.journal.append(NoteLine(text=text))
        self.watch.note(text)

    def _report_silent_arms(self) -> None:
        """An arm with steps and without one valid sample is missing, whatever the reason was."""
        for name in dict.fromkeys(step.arm for step in self.todo):
            if name not in self.good and not self.done:
                reason = self.last_reason.get(name, "no valid sample")
                self.journal.append(MissingLine(missing=NotMeasured(backend=name, metric="", reason=reason)))
