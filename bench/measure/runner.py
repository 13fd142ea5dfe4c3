"""The walk over a plan: sessions, groups, blocks, turns. Nothing here knows what a slice does or where.

A slice that fails becomes invalid samples with a reason, and the run goes on; an arm that fails three times
in a row is set aside for the rest of its session. A run whose plan has looks judges its samples after a
session: what is decided is left out from then on (bench.measure.interim), and the run ends when nothing is
open that decides a claim. A resumed run takes up the same plan: steps that the journal has are skipped, looks
are taken again from the same samples; what is left of a session that was cut gets fresh instances under the
same session number: that cluster has two instances of each arm, the turn that was cut spans the interruption.
"""

from __future__ import annotations

import gc
import itertools
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Literal

import msgspec

from bench.backends.base import Backend
from bench.journal import ClosedLine, Contents, DropLine, Journal, MissingLine, NoteLine, StartLine
from bench.measure.arm import Arm
from bench.measure.family_resources import Maker, Places
from bench.measure.interim import Costs, Course, Decide
from bench.measure.noise import Gauge
from bench.measure.observer import Watch
from bench.measure.slices import Visits
from bench.measure.slow import SlowArms
from bench.measure.time_budget import SECOND, Guard
from bench.model import NotMeasured, Plan, Sample, Step
from bench.plan import OWN, forecast, warmups
from bench.profiles import MIN_SESSIONS, Profile, pace, visit_s
from bench.scenarios.base import Scenario, error_text


class Site(msgspec.Struct, kw_only=True):
    """What a plan's names stand for here. `places` make what a family's scenarios share, when needed.

    decide: how far each (scenario, arm) is, asked after a session of a plan with looks; None: nobody looks.
    gauge: reads the host's conditions.
    """

    run_id: str
    backends: Mapping[str, Backend]
    scenarios: Mapping[str, Scenario]
    profile: Profile
    scratch: Path
    places: Mapping[str, Maker] = {}
    clock: Callable[[], int] = time.monotonic_ns
    decide: Decide | None = None
    gauge: Gauge | None = None


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended. Samples, notes, drops and closings are in the journal.

    sessions: walked to their end, over all interruptions. why: what ended the run, in words.
    """

    status: Literal["complete", "interrupted"]
    steps: int
    seconds: float
    sessions: int
    why: str


def run(
    plan: Plan,
    site: Site,
    journal: Journal,
    *,
    so_far: Contents | None = None,
    watch: Watch | None = None,
) -> Outcome:
    """Run all steps of `plan` that `so_far`, the journal of a run that was cut, has not settled.

    KeyboardInterrupt ends it in order, as `interrupted`. Raises StoreError when the journal cannot be
    written; instances are stopped then too.
    """
    runner = _Runner(plan, site, journal, so_far, watch or Watch())
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
    def __init__(
        self, plan: Plan, site: Site, journal: Journal, so_far: Contents | None, watch: Watch
    ) -> None:
        self.plan = plan
        self.site = site
        self.journal = journal
        self.watch = watch
        self.done = set(so_far.done) if so_far else set()
        self.settled = set(so_far.settled) if so_far else set()
        self.samples: list[Sample] = list(so_far.samples) if so_far else []
        self.looked = set(so_far.looked) if so_far else set()
        self.primary = {
            scenario.name
            for scenario in site.scenarios.values()
            if any(metric.role == "primary" for metric in scenario.metrics)
        }
        self.todo = [step for step in plan.steps if step.order not in self.settled]
        self.chosen: set[int] | None = None
        self.measured = 0
        self.sessions = 0
        self.closing = ExitStack()
        self.places = Places(site.places, self.closing, self._note)
        spent_s = so_far.elapsed if so_far else 0.0
        seconds = so_far.seconds if so_far else {}
        shares = forecast(plan, site.scenarios, site.profile)
        self.core = plan.looks.first if plan.looks else plan.sessions
        core = self.core if plan.looks else None
        self.guard = Guard(shares, plan.budget_s, site.clock, core=core, spent_s=spent_s)
        self.slow = SlowArms(self.todo, site.scenarios, plan.budget_s, _slow_s(plan, seconds))
        self.costs = Costs(plan.steps, site.scenarios, seconds)
        self.course = (
            Course(self._not_dropped(), site.decide, so_far.closed if so_far else ())
            if plan.looks is not None and site.decide is not None
            else None
        )
        self.visits = Visits(
            site.run_id,
            plan,
            site.scenarios,
            site.clock,
            self.guard,
            site.gauge or Gauge(plan.cpus),
            self._note,
            self.places,
            self.samples,
        )

    def run(self) -> Outcome:
        status: Literal["complete", "interrupted"] = "complete"
        why = ""
        before = (step for step in self.plan.steps if step.order in self.settled and step.session < self.core)
        self.guard.passed(sum(self._forecast(step) for step in before))
        self.watch.begin(len(self.todo), self.guard.seconds_left())
        try:
            with self.closing:
                why = self._walk()
            self._report_silent_arms()
        except KeyboardInterrupt:
            status, why = "interrupted", f"interrupted after {self.sessions} whole sessions"
        finally:
            self.watch.end()
        return Outcome(
            status=status,
            steps=self.measured,
            seconds=self.guard.elapsed(),
            sessions=self.sessions,
            why=why,
        )

    def _walk(self) -> str:
        """All sessions; returns what ended them."""
        for session in range(self.plan.sessions):
            steps = [step for step in self.plan.steps if step.session == session]
            todo = [step for step in steps if step.order not in self.settled]
            begun = any(step.order in self.done for step in steps)
            if not begun and (not todo or not self.guard.session_allowed(session)):
                return self._end(f"the time budget of {self.plan.budget_s:.0f} s was spent")
            if todo:
                self._session(session, todo, begun)
            self.sessions = session + 1
            if self._look():
                return self._end("nothing that can still be measured is open")
        return self._end("the last session of the plan was measured")

    def _end(self, why: str) -> str:
        """Leave out what is left, if anything is; the sentence for the reader of the run."""
        tally = self.course.tally(0.0) if self.course is not None else None
        if tally is not None and 0 < tally.pairs == tally.decided:
            why = "all that decides a claim is decided"
        left = [step for step in self.plan.steps if step.order not in self.settled]
        if left:
            self._drop(left, f"{why}, after session {self.sessions}")
        told = (
            f"; {tally.decided} of {tally.pairs} pairs of scenario and arm were decided"
            if tally and tally.pairs
            else ""
        )
        return f"{why}, after session {self.sessions} of at most {self.plan.sessions}{told}"

    def _look(self) -> bool:
        """After a whole session: leave out what is decided; True when nothing is open that decides one."""
        looks, done = self.plan.looks, self.sessions
        if self.course is None or looks is None or done < looks.first:
            return False
        ahead = [step for step in self.plan.steps if step.session >= done]
        if done in self.looked and any(step.order in self.done for step in ahead):
            return False  # a resumed run is already past this one
        try:
            found = self.course.look(self.samples, done)
        except Exception as error:  # what was measured is worth more than the time that a look would save
            self._note(
                f"the look after session {done} failed, so nothing is left out any more: {error_text(error)}"
            )
            self.course = None
            return False
        if done not in self.looked:
            self.journal.append(ClosedLine(sessions=done, closed=found))
            self.looked.add(done)
        left = [step for step in ahead if step.order not in self.settled]
        self._leave_out(self.course, left)
        self._choose(self.course, [step for step in left if step.session == done])
        return done < looks.last and not self.course.undecided()

    def _leave_out(self, course: Course, steps: Sequence[Step]) -> None:
        """Drop what a look found decided, and what never gave a valid sample."""
        out = [step for step in steps if not course.needs(step.scenario, step.arm)]
        silent = [step for step in out if course.is_silent(step)]
        decided = [step for step in out if not course.is_silent(step)]
        if decided:
            self._drop(decided, f"decided after session {self.sessions}")
        if silent:
            self._drop(silent, f"no valid sample in {self.sessions} sessions")

    def _choose(self, course: Course, steps: Sequence[Step]) -> None:
        """What the next session takes of the steps that are open, and about how long the run goes on."""
        kept, seconds = course.chosen(
            [step for step in steps if step.order not in self.settled],
            self.costs.visit(self.guard.elapsed()),
            self.guard.left(),
        )
        self.chosen = {step.order for step in kept}
        self.guard.expect(seconds)
        self.watch.looked(course.tally(seconds))

    def _session(self, session: int, steps: list[Step], begun: bool) -> None:
        self.visits.strikes.clear()
        if self.chosen is not None and not begun:
            rest = [step for step in steps if step.order not in self.chosen]
            steps = [step for step in steps if step.order in self.chosen]
            if rest:
                self._drop(rest, f"session {session}: the time goes to what is nearer to a verdict")
        for group, members in itertools.groupby(steps, key=lambda step: step.group):
            self._group(session, group, list(members))
        self.journal.sync()

    def _group(self, session: int, group: str, steps: list[Step]) -> None:
        steps = self._without_slow(session, group, steps)
        if not steps:
            return
        arms = self._make_arms(session, group, steps)
        try:
            missing = self.places.need(self.site.scenarios[step.scenario].family for step in steps)
            if missing:
                for arm in arms.values():
                    arm.failure = missing
            else:
                self._start(session, group, arms)
            open_here = {(step.arm, step.scenario) for step in steps}
            for step in warmups(self.plan, session, group, self.site.scenarios, self.site.profile):
                if step.arm in arms and not arms[step.arm].failure:
                    self._warm_up(step, arms[step.arm], open_here)
            self._turns(session, group, steps, arms)
        finally:
            self._stop(arms)

    def _warm_up(self, step: Step, arm: Arm, open_here: set[tuple[str, str]]) -> None:
        """A fresh instance's first slice is not counted. Of all scenarios only those that come are warmed."""
        if self.site.profile.warmup == "all" and (step.arm, step.scenario) not in open_here:
            return
        self.guard.passed(self._forecast(step))
        self.visits.warm_up(step, arm)

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
        self.watch.step(step, self.site.scenarios[step.scenario].family)
        reason = self.visits.set_aside(step)
        if reason:
            self._drop([step], reason)
            return
        visit = self.visits.visit(step, arm)
        self.journal.step(step.order, visit.samples, visit.seconds, self.guard.elapsed())
        self.samples += visit.samples
        self.settled.add(step.order)
        self.done.add(step.order)
        self.measured += 1
        self.costs.saw(step, visit.seconds)
        self.guard.passed(self._forecast(step))
        self.slow.ran(step, visit.seconds)
        self.watch.visited(visit.samples[-1].take if visit.samples else 0)
        self.watch.advanced(1, self.guard.seconds_left())

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
                self.visits.did_not_start(name, arm.failure)
                self._note(f"session {session}, {group}: {name} did not start: {arm.failure}")

    def _stop(self, arms: dict[str, Arm]) -> None:
        for arm in reversed(arms.values()):
            wrong = arm.stop()
            if wrong:
                self._note(f"{arm.name} did not stop in order: {wrong}")

    def _drop(self, steps: Sequence[Step], reason: str) -> None:
        self.journal.append(DropLine(orders=tuple(step.order for step in steps), reason=reason))
        self.settled.update(step.order for step in steps)
        self.slow.dropped(steps)
        # What is ahead after the core is what the last look chose, and holds nothing that is dropped.
        self.guard.passed(sum(self._forecast(step) for step in steps if step.session < self.core))
        self.watch.advanced(len(steps), self.guard.seconds_left())

    def _not_dropped(self) -> Plan:
        """The plan less what an interrupted run left out: an arm that is gone keeps no scenario open."""
        kept = tuple(
            one for one in self.plan.steps if one.order in self.done or one.order not in self.settled
        )
        return msgspec.structs.replace(self.plan, steps=kept)

    def _forecast(self, step: Step) -> float:
        return visit_s(self.site.scenarios[step.scenario], step.arm)

    def _note(self, text: str) -> None:
        self.journal.append(NoteLine(text=text))
        self.watch.note(text)

    def _report_silent_arms(self) -> None:
        """An arm with steps and without one valid sample is missing, whatever the reason was."""
        for name in dict.fromkeys(step.arm for step in self.plan.steps):
            if name not in self.visits.good:
                reason = self.visits.last_reason.get(name, "no valid sample")
                self.journal.append(MissingLine(missing=NotMeasured(backend=name, metric="", reason=reason)))


def _slow_s(plan: Plan, seconds: Mapping[int, float]) -> float:
    """Seconds that slow arms took before a run was cut."""
    return sum(seconds.get(step.order, 0.0) for step in plan.steps if pace(step.arm).slow)
