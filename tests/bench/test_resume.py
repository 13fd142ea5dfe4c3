"""Interrupted at a dozen random moments, by Ctrl-C and by kill -9, and resumed: the same plan is completed,
nothing is lost or counted twice, and every look finds what it would have found in one go."""

import itertools
import random
from collections import Counter

import msgspec
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from bench import claims, measure, store
from bench.journal import DropLine, Journal
from bench.judge import judge
from bench.judging.deciding import Progress, progress
from bench.measure.interim import Interim
from bench.model import Closed
from bench.testing import FakeScenario, fake_scenarios
from tests.bench.walking import SMALL, Bench

LOOKING = msgspec.structs.replace(SMALL, sessions=8, first_look=4, slow_sessions=5, max_visits=2)
NAMES = {"runtime": "runtime", "crun": "crun", "vm": "vm-tcg"}
TWO = {"runtime": "runtime", "crun": "crun"}
INTERRUPTIONS = 12
GENERATE = (Phase.explicit, Phase.reuse, Phase.generate)
"""A seed does not get simpler by being smaller."""


class Killed(BaseException):
    """Stands for a kill -9: nothing after it is written."""


class Trouble:
    """Ends the run at a random one of the things that happen: an instance starts, a slice runs, one stops."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.left = -1
        self.how: type[BaseException] = KeyboardInterrupt

    def arm(self, within: int) -> None:
        self.left = self.rng.randrange(within)
        self.how = self.rng.choice([KeyboardInterrupt, Killed])

    def __call__(self, event):
        if self.left >= 0:
            self.left -= 1
            if self.left < 0 and event[0] != "stop":
                raise self.how
        return ""


class Looked(measure.Observer):
    """Ends the run right after a look now and then, and before a step."""

    def __init__(self, trouble: Trouble) -> None:
        self.trouble = trouble

    def looked(self, tally):
        self.trouble(("look",))

    def step(self, step, family):
        self.trouble(("step",))


def whimsical(samples, sessions, closed):
    """A judge whose findings hang on every single sample: one more or one less is another verdict."""
    known = {(one.scenario, one.arm) for one in closed}
    values: dict[tuple[str, str], float] = {}
    for one in samples:
        place = (one.scenario, one.arm)
        values[place] = values.get(place, 0.0) + (one.value if one.valid else 0.123)
    return [
        Progress(
            scenario=place[0],
            arm=place[1],
            decided=place in known or int(value * 1e6) % 3 == 0,
            needed=sessions + int(value * 1e6) % 5,
            primary=not place[0].startswith("disk"),
        )
        for place, value in values.items()
    ]


def by_the_judge(plan, samples, sessions, closed):
    return progress(store.frame(samples), claims.load(), plan, sessions, closed)


def interrupted_and_resumed(bench: Bench, trouble: Trouble, decide) -> measure.RunOutcome:
    """A run that is cut INTERRUPTIONS times; returns how it ended."""
    rng, so_far = trouble.rng, None
    for _ in range(INTERRUPTIONS):
        trouble.arm(max(2, 2 * len(bench.plan.steps) // INTERRUPTIONS))
        size = bench.path.stat().st_size if so_far else 0
        try:
            bench.run(so_far, observer=Looked(trouble), decide=decide)
        except Killed:
            data = bench.path.read_bytes()
            # Nothing that an earlier end made sure of is lost; of the rest a kill may tear off any byte.
            bench.path.write_bytes(data[: rng.randint(max(size, data.index(b"\n") + 1), len(data))])
        so_far = bench.read()
    trouble.left = -1
    return bench.run(bench.read(), decide=decide)


def step_lines(bench: Bench) -> list[int]:
    lines = [msgspec.json.decode(line) for line in bench.path.read_bytes().splitlines()]
    return [line["order"] for line in lines if line["type"] == "step"]


def replayed(bench: Bench, samples, looked, decide) -> list[Closed]:
    """What looks at these samples close, in one go and in order."""
    interim = Interim(bench.plan, decide)
    for sessions in sorted(looked):
        interim.look(samples, sessions)
    return interim.closed


def check(bench: Bench, outcome: measure.RunOutcome, decide) -> None:
    contents = bench.read()
    planned = {step.order: step for step in bench.plan.steps}
    assert outcome.status == "complete"
    assert max(Counter(step_lines(bench)).values()) == 1, "no step was measured twice"
    dropped = {order: line.reason for line in contents.dropped for order in line.orders}
    assert contents.done | set(dropped) == set(planned), "each step was measured or dropped"
    assert not contents.done & set(dropped)
    assert all(dropped.values()), "with a reason"
    counted = Counter((one.order, one.take, one.metric) for one in contents.samples)
    assert max(counted.values()) == 1, "no sample is there twice"
    assert {(one.order, one.session, one.block, one.arm) for one in contents.samples} == {
        (order, planned[order].session, planned[order].block, planned[order].arm) for order in contents.done
    }
    assert list(contents.looked) == sorted(set(contents.looked))
    assert list(contents.closed) == replayed(bench, contents.samples, contents.looked, decide)
    closed = {(one.scenario, one.arm): one.sessions for one in contents.closed}
    for order in contents.done:
        step = planned[order]
        assert step.session < closed.get((step.scenario, step.arm), step.session + 1)
    pairs = {(one.scenario, one.session, one.block): set() for one in contents.samples}
    for one in contents.samples:
        pairs[one.scenario, one.session, one.block].add(one.arm)
    assert all("host" in arms for arms in pairs.values()), "no arm was measured without its baseline"
    assert not any(backend.live for backend in bench.backends.values())


SOME = (
    "startup.first_instruction",
    "cpu.integer",
    "cpu.syscall",
    "network.throughput.nat",
    "disk.randread.volume",
)
"""Starts, slices in one instance and in instances of their own, and what decides nothing."""


def scenarios():
    return [one for one in fake_scenarios() if one.name in SOME]


@pytest.mark.slow
@settings(max_examples=8, deadline=None, phases=GENERATE)
@given(st.integers(0, 2**32))
def test_interrupted_at_random_moments_and_resumed(tmp_path_factory, seed):
    trouble = Trouble(random.Random(seed))
    bench = Bench(tmp_path_factory.mktemp("run"), scenarios(), LOOKING, trouble, NAMES, seed % 1000)
    outcome = interrupted_and_resumed(bench, trouble, whimsical)
    check(bench, outcome, whimsical)


@pytest.mark.slow
@settings(max_examples=3, deadline=None, phases=GENERATE)
@given(st.integers(0, 2**32))
def test_interruptions_leave_no_mark_on_verdicts(tmp_path_factory, seed):
    """By the real judge: verdicts are those of the same samples in a run that was never cut."""
    trouble = Trouble(random.Random(seed))
    where = tmp_path_factory.mktemp("run")
    bench = Bench(where, scenarios(), LOOKING, trouble, {"runtime": "runtime"}, seed % 1000)

    def decide(samples, sessions, closed):
        return by_the_judge(bench.plan, samples, sessions, closed)

    outcome = interrupted_and_resumed(bench, trouble, decide)
    check(bench, outcome, decide)
    contents = bench.read()
    known, plan = claims.load(), bench.plan
    in_one_go = sorted(contents.samples, key=lambda one: (one.order, one.take))
    closed = replayed(bench, in_one_go, range(plan.looks.first, outcome.sessions + 1), decide)
    resumed = judge(
        store.frame(contents.samples), known, plan, closed=contents.closed, sessions_run=outcome.sessions
    )
    assert resumed == judge(store.frame(in_one_go), known, plan, closed=closed, sessions_run=outcome.sessions)


@pytest.mark.slow
@settings(max_examples=8, deadline=None, phases=GENERATE)
@given(st.integers(0, 2**32))
def test_a_clock_that_runs_out_leaves_nothing_unreported_either(tmp_path_factory, seed):
    class Takes(FakeScenario):
        def run(self, context):
            bench.clock.advance(self.cost_s * trouble.rng.uniform(0.5, 4))
            return super().run(context)

    trouble = Trouble(random.Random(seed))
    names = ("cpu.integer", "cpu.float", "memory.bandwidth", "disk.image")
    takes = [Takes(name, name.split(".")[0], cost_s=0.2) for name in names]
    profile = msgspec.structs.replace(LOOKING, budget_s=60.0)
    bench = Bench(tmp_path_factory.mktemp("run"), takes, profile, trouble, TWO, seed % 1000)
    outcome = interrupted_and_resumed(bench, trouble, whimsical)
    check(bench, outcome, whimsical)
    contents = bench.read()
    last = {step.order: step for step in bench.plan.steps}[max(contents.done)]
    assert last.session < 5 or contents.elapsed <= 60.0 + 10.0, "after the core the budget is a cap"


def test_every_end_is_reported(tmp_path):
    bench = Bench(tmp_path / "a", scenarios(), LOOKING, names={"runtime": "runtime"})

    def all_of_it(samples, sessions, closed):
        return [
            Progress(scenario=scenario, arm=arm, decided=sessions == 6, needed=6, primary=True)
            for scenario, arm in itertools.product(bench.plan.scenarios, ("host", "runtime"))
        ]

    outcome = bench.run(decide=all_of_it)
    assert outcome.sessions == 6
    assert outcome.ended_because == "decided"
    assert {line.reason for line in bench.read().dropped} == {"decided after session 6"}


def test_a_run_in_which_nothing_is_decided_goes_on_to_its_last_session(tmp_path):
    bench = Bench(tmp_path, scenarios(), LOOKING, names={"runtime": "runtime"})

    def nothing(samples, sessions, closed):
        return [
            Progress(scenario=one.scenario, arm=one.arm, decided=False, needed=99, primary=True)
            for one in bench.plan.steps
        ]

    outcome = bench.run(decide=nothing)
    assert (outcome.sessions, bench.read().closed) == (8, ())
    assert outcome.ended_because == "last session"
    assert bench.read().looked == (4, 5, 6, 7, 8)


def test_a_judge_that_breaks_costs_no_measurement(tmp_path):
    bench = Bench(tmp_path, scenarios(), LOOKING, names={"runtime": "runtime"})

    def broken(samples, sessions, closed):
        raise ZeroDivisionError("in the judge")

    assert bench.run(decide=broken).status == "complete"
    contents = bench.read()
    assert contents.done == {step.order for step in bench.plan.steps}
    assert any("look after session 4 failed" in note and "in the judge" in note for note in contents.notes)


@pytest.mark.slow
def test_an_arm_that_is_gone_on_resume_holds_no_scenario_open(tmp_path):
    bench = Bench(tmp_path, scenarios(), LOOKING, names={"runtime": "runtime"})

    class Stops(measure.Observer):
        def step(self, step, family):
            if step.session == 2:
                raise KeyboardInterrupt

    bench.run(observer=Stops(), decide=whimsical)
    gone = [step.order for step in bench.plan.steps if step.arm.startswith("runtime")]
    left = tuple(order for order in gone if order not in bench.read().done)
    with Journal(bench.path) as book:
        book.append(DropLine(orders=left, reason="runtime not available on resume"))
    outcome = bench.run(bench.read(), decide=whimsical)
    assert outcome.sessions == 4, "after the first look there is nothing left that decides"
    assert outcome.ended_because == "nothing left"
