"""Runs a plan: sessions, groups, blocks, turns. Nothing here knows what a slice does or where.

A slice that fails becomes invalid samples with a reason, and the run goes on; an arm that fails three times
in a row is left out for the rest of its session. A run whose plan has looks judges its samples after a
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

from bench.backends.base import Backend, InstanceSpec
from bench.journal import ClosedLine, Contents, DropLine, Journal, MissingLine, NoteLine, StartLine
from bench.measure.arm import Arm
from bench.measure.family_resources import FamilyResources, Maker
from bench.measure.interim import Decide, Interim
from bench.measure.ledger import RunLedger
from bench.measure.noise import Gauge
from bench.measure.observer import Observer
from bench.measure.slices import SliceTaker, Taken
from bench.measure.slow import SlowArms
from bench.measure.time_budget import SECOND, TimeBudget
from bench.model import EndedBecause, NotMeasured, OutOfReach, Plan, Prices, Step
from bench.plan import OWN, forecast, group_of, least_sessions, warmups
from bench.profiles import Profile
from bench.scenarios.base import Scenario, error_text

_ENDED: dict[EndedBecause, str] = {
    "decided": "everything that decides a claim is decided",
    "nothing left": "nothing that is open can still be measured or is within reach",
    "last session": "the last session of the plan was measured",
    "budget": "the time budget was spent",
}
"""For the reason of steps that are left out at the end."""


_NO_TIME = "no time was left for it; run --until-decided or --profile full, or name its family by --families"


class Site(msgspec.Struct, kw_only=True):
    """What a plan's names stand for here. `resources` make what a family's scenarios share, when needed.

    decide: how far each (scenario, arm) is, asked after a session of a plan with looks; None: no looks.
    gauge: reads the host's conditions.
    """

    run_id: str
    backends: Mapping[str, Backend]
    scenarios: Mapping[str, Scenario]
    profile: Profile
    scratch: Path
    resources: Mapping[str, Maker] = {}
    clock: Callable[[], int] = time.monotonic_ns
    decide: Decide | None = None
    gauge: Gauge | None = None


class RunOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended. Samples, notes, what was left out and what was closed are in the journal.

    steps, seconds: measured by this process. sessions: measured to their end, over all interruptions. prices:
    what visits and starts cost.
    """

    status: Literal["complete", "interrupted"]
    steps: int
    seconds: float
    sessions: int
    ended_because: EndedBecause
    prices: Prices


def run(
    plan: Plan,
    site: Site,
    journal: Journal,
    *,
    so_far: Contents | None = None,
    observer: Observer | None = None,
) -> RunOutcome:
    """Run all steps of `plan` that `so_far`, the journal of a run that was cut, has not settled.

    KeyboardInterrupt ends it in order, as `interrupted`. Raises StoreError when the journal cannot be
    written; instances are stopped then too.
    """
    runner = _Runner(plan, site, journal, so_far, observer or Observer())
    collecting = gc.isenabled()
    # A collection inside a slice would be measured with it. What exists by now is frozen, so that the
    # collections between turns do not scan it and stay short.
    gc.disable()
    gc.freeze()
    try:
        return runner.run()
    finally:
        gc.unfreeze()
        if collecting:
            gc.enable()


class _Runner:
    """One run. chosen: the steps that the last look chose for the next session; None before the first."""

    def __init__(
        self, plan: Plan, site: Site, journal: Journal, so_far: Contents | None, observer: Observer
    ) -> None:
        self.plan = plan
        self.site = site
        self.journal = journal
        self.observer = observer
        self.sessions = 0
        self.chosen: set[int] | None = None
        self.looked = set(so_far.looked) if so_far else set()
        self.ledger = RunLedger(plan, site.scenarios, so_far)
        self.budget = TimeBudget(
            forecast(plan, site.scenarios, site.profile),
            plan.budget_s,
            site.clock,
            least=least_sessions(plan),
            core=plan.core if plan.looks else None,
            spent_s=so_far.elapsed if so_far else 0.0,
            behind_s=self.ledger.behind_s,
        )
        self.slow = SlowArms(plan, site.scenarios, self.ledger)
        self.interim = (
            Interim(
                self.ledger.not_left_out(),
                site.decide,
                so_far.closed if so_far else (),
                so_far.out_of_reach if so_far else (),
            )
            if plan.looks is not None and site.decide is not None
            else None
        )
        self.closing = ExitStack()
        self.resources = FamilyResources(site.resources, self.closing, self._note)
        self.slices = SliceTaker(
            site.run_id,
            plan,
            site.scenarios,
            site.clock,
            self.budget,
            site.gauge or Gauge(plan.cpus),
            self._note,
            self.resources,
            self.ledger.samples,
        )

    def run(self) -> RunOutcome:
        status: Literal["complete", "interrupted"] = "complete"
        self.observer.begin(len(self.ledger.open(self.plan.steps)), self._seconds_left())
        try:
            with self.closing:
                because = self._sessions()
            self._report_silent_arms()
            self._report_unvisited()
        except KeyboardInterrupt:
            status, because = "interrupted", "interrupted"
        finally:
            self.observer.end()
        return RunOutcome(
            status=status,
            steps=self.ledger.steps,
            seconds=self.budget.elapsed(),
            sessions=self.sessions,
            ended_because=because,
            prices=self.ledger.learnt(self.site.run_id),
        )

    def _sessions(self) -> EndedBecause:
        """All sessions; returns what ended them."""
        for session in range(self.plan.sessions):
            steps = [step for step in self.plan.steps if step.session == session]
            todo = self.ledger.open(steps)
            # A session that was cut is finished whatever the time: half a session is half a cluster.
            begun = any(step.order in self.ledger.done for step in steps)
            if steps and not begun and (not todo or not self.budget.session_allowed(session)):
                return self._end("budget")
            if todo:
                self._session(session, todo, begun)
            self.sessions = session + 1
            if self._look():
                return self._end("nothing left")
        return self._end("last session")

    def _end(self, because: EndedBecause) -> EndedBecause:
        """Leave out what is left. Where the last look left nothing to decide, that is what ended the run."""
        tally = self.interim.tally(0.0) if self.interim is not None else None
        if tally is not None and 0 < tally.pairs == tally.decided:
            because = "decided"
        left = self.ledger.open(self.plan.steps)
        if left:
            self._leave_out(left, f"{_ENDED[because]}, after session {self.sessions}")
        return because

    def _look(self) -> bool:
        """After a whole session: leave out what is decided; True when nothing open decides a claim."""
        looks, done = self.plan.looks, self.sessions
        if self.interim is None or looks is None or done < self.plan.core:
            return False
        ahead = [step for step in self.plan.steps if step.session >= done]
        if done in self.looked and any(step.order in self.ledger.done for step in ahead):
            return False  # a resumed run is past this look already, and what it chose was measured
        try:
            found = self.interim.look(self.ledger.samples, done)
        except Exception as error:  # what was measured is worth more than the time that a look would save
            why = error_text(error)
            self._note(f"the look after session {done} failed, so nothing is left out from here on: {why}")
            self.interim = None
            return False
        left = self.ledger.open(ahead)
        if done not in self.looked:
            given_up = self._give_up(self.interim, [step for step in left if step.session == done])
            self.journal.append(ClosedLine(sessions=done, closed=found, out_of_reach=given_up))
            self.looked.add(done)
        self._leave_out_decided(self.interim, left)
        self._choose(self.interim, [step for step in left if step.session == done])
        return done < looks.last and not self.interim.undecided()

    def _give_up(self, interim: Interim, steps: Sequence[Step]) -> tuple[OutOfReach, ...]:
        """What cannot be decided in the time that is left. steps: of the next session."""
        return interim.give_up(steps, self.ledger.prices(self.budget.elapsed()), self.budget.left())

    def _leave_out_decided(self, interim: Interim, steps: Sequence[Step]) -> None:
        """Leave out what a look found decided, and what never gave a valid sample."""
        out = [step for step in steps if not interim.needs(step.scenario, step.arm)]
        silent = [step for step in out if interim.is_silent(step)]
        beyond = [step for step in out if not interim.is_silent(step) and interim.is_out_of_reach(step)]
        decided = [step for step in out if step not in silent and step not in beyond]
        if decided:
            self._leave_out(decided, f"decided after session {self.sessions}")
        if beyond:
            why = "too noisy here to be decided in the time that is left"
            self._leave_out(beyond, f"out of reach: {why}", f"after session {self.sessions}")
        if silent:
            self._leave_out(silent, f"no valid sample in {self.sessions} sessions")

    def _choose(self, interim: Interim, steps: Sequence[Step]) -> None:
        """What the next session takes of the steps that are open, and about how long the run goes on."""
        kept, seconds = interim.chosen(
            self.ledger.open(steps), self.ledger.prices(self.budget.elapsed()), self.budget.left()
        )
        self.chosen = {step.order for step in kept}
        self.budget.expect(seconds, self.ledger.behind_s)
        self.observer.looked(interim.tally(seconds))

    def _session(self, session: int, steps: list[Step], begun: bool) -> None:
        self.slices.strikes.clear()
        # The look's choice is for a whole session: one that was cut goes on with all that it had begun with.
        if self.chosen is not None and not begun:
            rest = [step for step in steps if step.order not in self.chosen]
            steps = [step for step in steps if step.order in self.chosen]
            if rest:
                self._leave_out(rest, "the time goes to what is nearer to a verdict", f"session {session}")
        for group, members in itertools.groupby(steps, key=lambda step: step.group):
            self._group(session, group, list(members))
        self.journal.sync()

    def _group(self, session: int, group: str, steps: list[Step]) -> None:
        """Start the arms of a group, warm them up, take its turns, and stop them whatever happens."""
        steps = self._without_slow(session, group, steps)
        if not steps:
            return
        arms = self._make_arms(session, group, steps)
        try:
            missing = self.resources.need(self.site.scenarios[step.scenario].family for step in steps)
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
        """A fresh instance's first slice does not count. Only scenarios that are still open are warmed up."""
        if self.site.profile.warmup == "all" and (step.arm, step.scenario) not in open_here:
            return
        self.ledger.warmed_up(step)
        self.slices.warm_up(step, arm)

    def _without_slow(self, session: int, group: str, steps: list[Step]) -> list[Step]:
        """The steps of a group without those that slow arms have no time left for."""
        level = self.slow.level()
        out = [step for step in steps if not self.slow.keeps(step, level)]
        if out:
            arms = ", ".join(sorted({step.arm for step in out}))
            where = f"session {session}, {group}: {len(out)} visits of {arms}"
            self._leave_out(out, "slower than forecast, its share of the time budget allows no more", where)
        return [step for step in steps if self.slow.keeps(step, level)]

    def _turns(self, session: int, group: str, steps: list[Step], arms: dict[str, Arm]) -> None:
        skipped: list[Step] = []
        for _, members in itertools.groupby(steps, key=lambda step: (step.block, step.scenario)):
            # A turn is run whole or not at all: each of its arms is half of a pair.
            turn = list(members)
            always = self.ledger.is_guarded(turn[0])
            if not always and not self.budget.turn_allowed(session, group):
                skipped += turn
                continue
            gc.collect()  # between turns, so that no slice has to, and before all of its arms alike
            if self._may_take_turns(turn):
                self._by_turns(turn, arms)
                continue
            for step in turn:
                self._step(step, arms[step.arm])
        if skipped:
            where = f"session {session}, {group}: {len({(s.block, s.scenario) for s in skipped})} turns"
            self._leave_out(skipped, "slower than forecast, the time budget allows no more", where)

    def _may_take_turns(self, turn: Sequence[Step]) -> bool:
        """Whether its arms run by turns: several, all on the host's own kernel, by whose clock turns go."""
        arms = {step.arm for step in turn}
        planned = turn[0].scenario in self.plan.by_turns
        return planned and len(arms) > 1 and all(self.plan.arm[name].kind != "vm" for name in arms)

    def _by_turns(self, turn: Sequence[Step], arms: dict[str, Arm]) -> None:
        """Take a turn of all arms at once."""
        given_up = {step.order: reason for step in turn if (reason := self.slices.given_up(step))}
        for step in turn:
            self.observer.step(step, self.site.scenarios[step.scenario].family)
            if step.order in given_up:
                self._leave_out([step], given_up[step.order])
        there = [(step, arms[step.arm]) for step in turn if step.order not in given_up]
        if not there:
            return
        for (step, _), taken in zip(there, self.slices.take_by_turns(there), strict=True):
            self._keep(step, taken)

    def _step(self, step: Step, arm: Arm) -> None:
        self.observer.step(step, self.site.scenarios[step.scenario].family)
        reason = self.slices.given_up(step)
        if reason:
            self._leave_out([step], reason)
            return
        self._keep(step, self.slices.take(step, arm))

    def _keep(self, step: Step, taken: Taken) -> None:
        # The journal first: a resumed run measures what is not in it, so no sample is there twice.
        self.journal.step(step.order, taken.samples, taken.seconds, self.budget.elapsed())
        self.ledger.measured(step, taken)
        self.observer.repeated(taken.samples[-1].take if taken.samples else 0)
        self.observer.advanced(1, self._seconds_left())

    def _make_arms(self, session: int, group: str, steps: list[Step]) -> dict[str, Arm]:
        spec = None
        if group != OWN:
            known = (one for one in self.site.scenarios.values() if group_of(one) == group)
            spec = msgspec.structs.replace(next(known).spec, cpus=self.plan.cpus)
        # The size of the environment shifts a program's stack, which alone can change its speed by percents
        # (Mytkowicz et al., ASPLOS 2009): drawn anew for each session, the same for all of its arms.
        pad = random.Random(f"{self.plan.seed}/{session}").randrange(4096)
        names = dict.fromkeys(step.arm for step in steps)
        return {
            name: Arm(
                name,
                self.site.backends[name],
                self._serving(spec, [step for step in steps if step.arm == name]),
                self.site.scratch / f"{session}-{name}",
                pad,
            )
            for name in names
        }

    def _serving(self, spec: InstanceSpec | None, steps: Sequence[Step]) -> InstanceSpec | None:
        """The spec of an arm's instance; with the program whose first byte is awaited, where a step asks for
        its start."""
        asked = [self.site.scenarios[step.scenario].spec for step in steps if step.group != OWN]
        first = next((one for one in asked if one.until_output), None)
        if spec is None or first is None:
            return spec
        return msgspec.structs.replace(spec, argv=first.argv, until_output=True)

    def _start(self, session: int, group: str, arms: dict[str, Arm]) -> None:
        """Start the instances in a random order of their own, so that no arm always has the oldest one."""
        names = sorted(arms)
        random.Random(f"{self.plan.seed}/{session}/{group}").shuffle(names)
        for name in names:
            self.observer.starting(session, group, name)
            arm, begun = arms[name], self.site.clock()
            arm.start()
            if arm.failure:
                arm.start()
            seconds = (self.site.clock() - begun) / SECOND
            self.ledger.started(name, seconds)
            self.journal.append(
                StartLine(session=session, group=group, arm=name, seconds=seconds, failure=arm.failure)
            )
            if arm.failure:
                self.slices.did_not_start(name, arm.failure)
                self._note(f"session {session}, {group}: {name} did not start: {arm.failure}")

    def _stop(self, arms: dict[str, Arm]) -> None:
        for arm in reversed(arms.values()):
            wrong = arm.stop()
            if wrong:
                self._note(f"{arm.name} did not stop in order: {wrong}")

    def _leave_out(self, steps: Sequence[Step], reason: str, where: str = "") -> None:
        orders = tuple(step.order for step in steps)
        self.journal.append(DropLine(orders=orders, reason=reason, where=where))
        self.ledger.left_out(steps)
        self.observer.advanced(len(steps), self._seconds_left())

    def _seconds_left(self) -> float:
        return self.budget.seconds_left(self.ledger.behind_s, self.ledger.must_s)

    def _note(self, text: str) -> None:
        self.journal.append(NoteLine(text=text))
        self.observer.note(text)

    def _report_unvisited(self) -> None:
        """What waited for the time that the core leaves, and got none, is missing."""
        visited = {(step.scenario, step.arm) for step in self.plan.steps if step.order in self.ledger.done}
        heard = {arm for _, arm in visited}
        waited = [step for step in self.plan.steps if step.scenario in self.plan.thinned]
        for scenario, arm in dict.fromkeys((step.scenario, step.arm) for step in waited):
            if arm in self.plan.systems and arm in heard and (scenario, arm) not in visited:
                for metric in self.site.scenarios[scenario].metrics:
                    gap = NotMeasured(arm=arm, metric=metric.name, reason=_NO_TIME)
                    self.journal.append(MissingLine(missing=gap))

    def _report_silent_arms(self) -> None:
        """An arm with steps and without one valid sample is missing, whatever the reason was."""
        heard = {sample.arm for sample in self.ledger.samples if sample.valid}
        for name in dict.fromkeys(step.arm for step in self.plan.steps):
            if name not in heard:
                reason = self.slices.last_reason.get(name, "no valid sample")
                self.journal.append(MissingLine(missing=NotMeasured(arm=name, metric="", reason=reason)))
