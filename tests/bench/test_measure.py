"""The executed order is the plan's; failures cost a sample and not a run; nothing stays up."""

import gc

import msgspec
import pytest

from bench import measure, plan
from bench.backends.base import InstanceSpec
from bench.journal import Journal
from bench.measure.time_budget import TimeBudget
from bench.profiles import MIN_SESSIONS, PROFILES
from bench.scenarios.memory import PER_INSTANCE, IdleMemory
from bench.testing import FakeClock, FakeScenario, fake_scenarios
from tests.bench.walking import SMALL, Bench


def counted(bench: Bench) -> list[tuple[str, str]]:
    """(arm, scenario) of the slices that ran, warm-ups taken away."""
    warm = {}
    for session in range(bench.plan.sessions):
        for group in {step.group for step in bench.plan.steps}:
            for step in plan.warmups(bench.plan, session, group, bench.scenarios, bench.profile):
                warm.setdefault((session, group), []).append((step.arm, step.scenario))
    found, pending = [], []
    groups = list(dict.fromkeys((step.session, step.group) for step in bench.plan.steps))
    runs = iter([(event[1], event[2]) for event in bench.events if event[0] == "run"])
    for key in groups:
        pending = [next(runs) for _ in warm.get(key, [])]
        assert pending == warm.get(key, [])
        found += [next(runs) for step in bench.plan.steps if (step.session, step.group) == key]
    assert next(runs, None) is None
    return found


def test_the_executed_order_equals_the_plan(tmp_path):
    bench = Bench(tmp_path)
    assert bench.run().status == "complete"
    assert counted(bench) == [(step.arm, step.scenario) for step in bench.plan.steps]


def test_samples_carry_their_step(tmp_path):
    bench = Bench(tmp_path)
    bench.run()
    found = {s.order: (s.session, s.block, s.scenario, s.arm) for s in bench.read().samples}
    assert found == {s.order: (s.session, s.block, s.scenario, s.arm) for s in bench.plan.steps}


def test_every_session_has_fresh_instances_and_none_stays_up(tmp_path):
    bench = Bench(tmp_path)
    bench.run()
    groups = {(s.session, s.group, s.arm) for s in bench.plan.steps if s.group != plan.OWN}
    own = sum(1 for s in bench.plan.steps if s.group == plan.OWN)
    assert sum(1 for event in bench.events if event[0] == "start") == len(groups) + own
    assert not any(backend.live for backend in bench.backends.values())


def test_instances_start_in_an_order_of_their_own(tmp_path):
    bench = Bench(tmp_path)
    bench.run()
    starts = [event[1] for event in bench.events if event[0] == "start"]
    assert len({tuple(starts[i : i + 3]) for i in range(0, len(starts), 3)}) > 2


def test_a_failed_slice_is_an_invalid_sample_with_its_reason(tmp_path):
    bench = Bench(tmp_path, fails=lambda event: "boom" if event == ("run", "runtime", "cpu.integer") else "")
    bench.run()
    bad = [s for s in bench.read().samples if not s.valid]
    assert {(s.arm, s.metric, s.reason) for s in bad} == {
        ("runtime", "cpu.integer", "cpu.integer: run runtime: boom")
    }
    assert {(s.value, s.set_aside) for s in bad} == {(None, "failed")}
    assert len(bad) == sum(1 for s in bench.plan.steps if (s.arm, s.scenario) == ("runtime", "cpu.integer"))


def test_one_start_of_a_slow_arm_serves_memory_and_slices(tmp_path):
    scenarios = [
        FakeScenario("network.throughput.bridge", "network", spec=InstanceSpec(network="bridge")),
        IdleMemory(name="memory.per_instance", metrics=(PER_INSTANCE,), cost_s=0.04, from_start=True),
    ]
    bench = Bench(tmp_path, scenarios)
    bench.run()
    starts = [event for event in bench.events if event[:2] == ("start", "vm-tcg")]
    assert len(starts) == SMALL.slow_sessions
    weighed = [one for one in bench.read().samples if (one.metric, one.arm) == (PER_INSTANCE.name, "vm-tcg")]
    assert [one.value for one in weighed] == [5.0 * (1 << 20)] * SMALL.slow_sessions


def test_what_waited_for_time_and_got_none_is_missing(tmp_path):
    scenarios = [
        FakeScenario("cpu.integer", "cpu", cost_s=1.0),
        FakeScenario("disk.randread.layer", "disk", cost_s=1.0),
    ]
    hasty = msgspec.structs.replace(PROFILES["quick"], budget_s=0.01)
    bench = Bench(
        tmp_path, scenarios, hasty, lambda event: bench.clock.advance(1.0) or "", {"runtime": "runtime"}
    )
    assert {s.scenario for s in bench.plan.steps if s.session < bench.plan.core} == {"cpu.integer"}
    assert bench.run().ended_because == "budget"
    (gap,) = bench.read().missing
    assert (gap.arm, gap.metric) == ("runtime", "disk.randread.layer")
    assert gap.reason.startswith("no time was left for it")


def test_an_arm_that_fails_three_times_in_a_row_is_left_out_and_others_go_on(tmp_path):
    bench = Bench(tmp_path, fails=lambda event: "gone" if event[:2] == ("run", "runtime") else "")
    bench.run()
    contents = bench.read()
    for session in range(bench.plan.sessions):
        failed = [s for s in contents.samples if s.arm == "runtime" and s.session == session]
        assert len(failed) == 3
    assert "runtime was left out of session 0 after 3 failures in a row" in contents.dropped[0].reason
    assert [item.arm for item in contents.missing] == ["runtime"]
    host = sum(1 for s in contents.samples if s.arm == "host" and s.valid)
    assert host == sum(1 for s in bench.plan.steps if s.arm == "host")


def test_an_arm_that_does_not_start_costs_its_own_samples_only(tmp_path):
    bench = Bench(
        tmp_path, fails=lambda event: "no bridge" if event[:3] == ("start", "runtime", "bridge") else ""
    )
    bench.run()
    bad = [s for s in bench.read().samples if not s.valid]
    assert {(s.arm, s.metric) for s in bad} == {("runtime", "network.throughput.bridge")}
    assert bad[0].reason == "start: start runtime: no bridge"


def test_a_bug_in_a_scenario_is_a_failed_slice(tmp_path):
    class Buggy(FakeScenario):
        def run(self, context):
            raise ZeroDivisionError("in the scenario")

    bench = Bench(tmp_path, scenarios=[Buggy("cpu.integer", "cpu"), FakeScenario("cpu.float", "cpu")])
    assert bench.run().status == "complete"
    reasons = {s.reason for s in bench.read().samples if s.metric == "cpu.integer"}
    assert reasons == {"ZeroDivisionError: in the scenario"}


def test_a_worker_that_broke_is_replaced(tmp_path):
    bench = Bench(tmp_path, fails=lambda event: "boom" if event == ("run", "runtime", "cpu.integer") else "")
    bench.run()
    broke = bench.events.index(("run", "runtime", "cpu.integer"))
    assert bench.events[broke + 1][:2] == ("open", "runtime")


class Interrupts(measure.Observer):
    """Ctrl-C before the given step."""

    def __init__(self, order: int) -> None:
        self.order = order

    def step(self, step, family):
        if step.order == self.order:
            raise KeyboardInterrupt


@pytest.mark.parametrize("at", [0, 1, 40, 77])
def test_ctrl_c_keeps_what_was_measured_and_stops_all(tmp_path, at):
    bench = Bench(tmp_path)
    assert bench.run(observer=Interrupts(at)).status == "interrupted"
    assert bench.read().done == set(range(at))
    assert not any(backend.live for backend in bench.backends.values())


@pytest.mark.parametrize("at", [0, 13, 50])
def test_a_resumed_run_has_every_sample_once(tmp_path, at):
    bench = Bench(tmp_path)
    bench.run(observer=Interrupts(at))
    bench.events.clear()
    assert bench.run(bench.read()).status == "complete"
    orders = [s.order for s in bench.read().samples]
    assert sorted(orders) == list(range(len(bench.plan.steps)))
    first = bench.plan.steps[at]
    assert all(event[0] != "run" or event[2] in bench.plan.scenarios for event in bench.events)
    assert first.order == at


class Slow(FakeScenario):
    """Takes far longer than its forecast, on the bench's own clock."""

    clock: FakeClock

    def run(self, context):
        self.clock.advance(self.cost_s * 10)
        return super().run(context)


def test_a_machine_slower_than_forecast_drops_later_blocks_evenly(tmp_path):
    budget = msgspec.structs.replace(SMALL, sessions=5, max_visits=6, budget_s=60.0)
    bench = Bench(
        tmp_path, [Slow("cpu.integer", "cpu", cost_s=0.2), Slow("cpu.float", "cpu", cost_s=0.2)], budget
    )
    Slow.clock = bench.clock
    outcome = bench.run()
    contents = bench.read()
    assert outcome.status == "complete"
    assert {s.session for s in contents.samples if s.arm == "host"} >= set(range(MIN_SESSIONS))
    dropped = {order for line in contents.dropped for order in line.orders}
    assert dropped and dropped | contents.done == set(range(len(bench.plan.steps)))
    assert not dropped & contents.done
    assert any("the time budget" in line.reason for line in contents.dropped)


def test_a_slow_arm_that_is_slower_still_does_not_eat_the_time_of_the_others(tmp_path):
    class Crawls(FakeScenario):
        def run(self, context):
            self.clock.advance(60 if context.backend.name == "vm" else 0.1)
            return super().run(context)

    scenarios = [
        Crawls(name, family, cost_s=cost)
        for name, family, cost in [("cpu.a", "cpu", 0.2), ("cpu.b", "cpu", 0.1), ("disk.a", "disk", 0.1)]
    ]
    bench = Bench(tmp_path, scenarios, msgspec.structs.replace(SMALL, slow_sessions=5, budget_s=1200.0))
    Crawls.clock = bench.clock
    bench.run()
    done = [step for step in bench.plan.steps if step.order in bench.read().done]
    vm = [step.scenario for step in done if step.arm == "vm-tcg"]
    assert sorted(vm[:3]) == ["cpu.a", "cpu.b", "disk.a"], "all of the first session, the pace is not known"
    assert set(vm[3:]) == {"cpu.b", "disk.a"}, "then the cheapest of each family"
    assert len(vm) < sum(1 for step in bench.plan.steps if step.arm == "vm-tcg")
    assert {step.session for step in done if step.arm == "host"} == set(range(5))


def test_gc_is_off_while_slices_run_and_on_again_after(tmp_path):
    seen = []

    class Looks(FakeScenario):
        def run(self, context):
            seen.append(gc.isenabled())
            return super().run(context)

    Bench(tmp_path, [Looks("cpu.integer", "cpu")]).run()
    assert set(seen) == {False}
    assert gc.isenabled()


def test_every_arm_gets_a_volume_of_its_own_and_it_is_gone_after(tmp_path):
    volumes = []

    class Looks(FakeScenario):
        def run(self, context):
            volumes.append((context.session, context.backend, context.instance.spec.volume))
            return super().run(context)

    spec = fake_scenarios()[-1].spec
    Bench(tmp_path, [Looks("disk.randread.volume", "disk", spec=spec)]).run()
    assert len({path for *_, path in volumes}) == len(
        {(session, id(backend)) for session, backend, _ in volumes}
    )
    assert not any(path.exists() for *_, path in volumes)


def test_the_wire_is_opened_once_and_closed(tmp_path):
    from contextlib import contextmanager

    said = []

    @contextmanager
    def wire():
        said.append("open")
        yield "the wire"
        said.append("close")

    bench = Bench(tmp_path)
    site = measure.Site(
        run_id="r",
        backends=bench.backends,
        scenarios=bench.scenarios,
        profile=SMALL,
        scratch=tmp_path,
        resources={"network": wire},
    )
    with Journal(bench.path) as book:
        measure.run(bench.plan, site, book)
    assert said == ["open", "close"]


def test_deadlines_follow_the_forecast():
    clock = FakeClock()
    budget = TimeBudget([(0, "a", 1.0), (0, "b", 3.0), (1, "a", 4.0)], 80.0, clock, least=MIN_SESSIONS)
    for seconds, allowed in [(9.0, True), (2.0, False)]:
        clock.advance(seconds)
        assert budget.turn_allowed(0, "a") is allowed
    assert budget.turn_allowed(0, "b")
    clock.advance(70)
    assert budget.session_allowed(MIN_SESSIONS - 1)
    assert not budget.session_allowed(MIN_SESSIONS)


def test_seconds_left_follow_the_pace_seen_and_never_pass_the_budget():
    clock = FakeClock()
    budget = TimeBudget([(0, "a", 10.0)], 15.0, clock, least=MIN_SESSIONS)
    assert budget.seconds_left(0) == 10
    clock.advance(2)
    assert budget.seconds_left(5) == 2
    clock.advance(8)
    assert budget.seconds_left(5) == 5
    assert budget.seconds_left(10) == 0


def test_progress_ends_at_nothing_left(tmp_path):
    told = []

    class Listens(measure.Observer):
        def advanced(self, steps, seconds_left):
            told.append((steps, seconds_left))

    bench = Bench(tmp_path)
    bench.run(observer=Listens())
    assert sum(steps for steps, _ in told) == len(bench.plan.steps)
    assert told[-1][1] == 0


def test_the_time_left_counts_what_is_measured_beyond_the_budget() -> None:
    clock = FakeClock()
    budget = TimeBudget([(0, "a", 10.0), (1, "a", 10.0)], 15.0, clock, least=MIN_SESSIONS, core=2)
    clock.advance(20)
    assert budget.seconds_left(10.0) == 0.0
    assert budget.seconds_left(10.0, must_s=5.0) == 10.0  # at half of the pace that was forecast


class Turned(FakeScenario):
    """A slice that notes its place among those that run by turns."""

    def __init__(self, name: str) -> None:
        super().__init__(name, "cpu", by_turns=True)
        self.places = []

    def run(self, context):
        self.places.append((context.session, context.block, context.backend.probe().name, context.turns))
        return super().run(context)


def by_turn(scenario: Turned) -> dict[tuple[int, int], dict[str, object]]:
    turns = {}
    for session, block, arm, place in scenario.places:
        if place is not None:
            turns.setdefault((session, block, place.start_ns), {})[arm] = place
    return turns


def test_arms_of_the_hosts_kernel_run_by_turns_and_no_virtual_machine_does(tmp_path):
    scenario = Turned("cpu.integer")
    bench = Bench(tmp_path, [scenario])
    bench.run()
    machine = {(step.session, step.block) for step in bench.plan.steps if step.arm == "vm-tcg"}
    turns = by_turn(scenario)
    assert turns
    assert not machine & {(session, block) for session, block, _ in turns}
    for places in turns.values():
        assert set(places) == {"host", "host-b", "host-2pct", "runtime", "runtime-b"}
        assert sorted(place.index for place in places.values()) == list(range(5))
        assert {place.count for place in places.values()} == {5}
    assert {step.order for step in bench.plan.steps} == {one.order for one in bench.read().samples}


def test_one_arm_that_fails_by_turns_costs_the_others_nothing(tmp_path):
    def fails(event):
        return "boom" if event == ("run", "runtime", "cpu.integer") else ""

    bench = Bench(tmp_path, [Turned("cpu.integer")], fails=fails)
    assert bench.run().status == "complete"
    found = bench.read().samples
    assert {one.arm for one in found if not one.valid} == {"runtime"}
    assert {one.arm for one in found if one.valid} >= {"host", "host-b", "runtime-b"}


def test_a_plan_that_knows_no_turns_has_none(tmp_path):
    scenario = Turned("cpu.integer")
    bench = Bench(tmp_path, [scenario])
    bench.plan = msgspec.structs.replace(bench.plan, by_turns=())
    bench.run()
    assert not by_turn(scenario)
