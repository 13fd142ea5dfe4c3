"""The host's conditions are read as they are; the rule for repeating a slice never sees the value."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.measure import noise
from bench.measure.noise import Gauge, SliceConditions
from bench.measure.pressure import (
    KNOWN,
    ONE_THREAD_MORE,
    STALL_MORE,
    STEAL_MORE,
    TAKES,
    Usual,
    one_thread,
    repeated,
)
from bench.model import Sample
from bench.plan import make_plan
from bench.profiles import PROFILES
from bench.testing import FakeScenario, fake_arms, fake_scenarios
from tests.bench.walking import SMALL, Bench

PLACE = ("cpu.integer", "runtime")
shares = st.floats(0, 1)


@pytest.fixture
def proc(tmp_path):
    """A host's counters: `set` writes them."""

    class Proc:
        pressure, stat = tmp_path / "cpu", tmp_path / "stat"

        def set(self, stall, steal, switches):
            self.pressure.write_text(f"some avg10=0.00 avg60=0.00 avg300=0.00 total={stall}\nfull total=0\n")
            lines = [f"cpu{n} 10 20 30 40 50 60 70 {99 if n == '' else steal[n]} 0 0" for n in ("", 0, 1, 2)]
            self.stat.write_text("\n".join([*lines, "intr 5 1 2", f"ctxt {switches}", "btime 1"]) + "\n")

        def gauge(self, cpus):
            return Gauge(cpus, self.pressure, self.stat, lambda: 2600.0)

    return Proc()


def test_conditions_are_shares_of_the_slice_on_the_planned_cpus(proc):
    gauge = proc.gauge((0, 2))
    proc.set(1000, (10, 0, 5), 700)
    before = gauge.read()
    proc.set(251_000, (20, 9, 5), 1700)
    found = gauge.conditions(before, gauge.read(), 1_000_000_000)
    assert (found.stall_share, found.steal_share) == (0.25, 0.05)
    assert (found.switches, found.busy_s, found.frequency_mhz) == (1000, 0.0, 2600.0)
    assert found.tick_share == pytest.approx(0.005)


def test_busy_time_is_of_the_whole_host_without_idle_and_waiting_for_disks(proc):
    gauge = proc.gauge(())
    proc.stat.write_text("cpu 100 10 50 7 8 3 2 4 0 0\nctxt 1\n")
    before = gauge.read()
    proc.stat.write_text("cpu 200 20 60 999 999 4 3 5 0 0\nctxt 1\n")
    found = gauge.conditions(before, gauge.read(), 10**9)
    assert found.busy_s == pytest.approx((100 + 10 + 10 + 1 + 1) * noise.TICK_US / 1e6)


def test_what_the_kernel_does_not_report_is_none(tmp_path):
    gauge = Gauge((0,), tmp_path / "no", tmp_path / "no", lambda: None)
    assert gauge.conditions(gauge.read(), gauge.read(), 10**9) == SliceConditions(tick_share=0.01)


@pytest.mark.parametrize("text", ["", "cpu\n", "cpu 1 2\n", "cpu a b c d e f g h\n", "ctxt\n"])
def test_a_strange_stat_is_none_and_no_error(tmp_path, text):
    (tmp_path / "stat").write_text(text)
    (tmp_path / "cpu").write_text("some\n")
    read = Gauge((), tmp_path / "cpu", tmp_path / "stat", lambda: None).read()
    assert (read.stall_us, read.steal_us, read.busy_us) == (None, None, None)


def test_the_real_counters_can_be_read_here():
    gauge = Gauge((0,))
    before = gauge.read()
    found = gauge.conditions(before, gauge.read(), 10**6)
    assert found.switches is not None
    assert found.busy_s is not None
    assert found.frequency_mhz is None or 100 < found.frequency_mhz < 20_000


def test_the_clock_of_the_planned_cpus_comes_from_cpuinfo(tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text("".join(f"processor\t: {n}\ncpu MHz\t\t: {1000 + 200 * n}.5\n\n" for n in range(4)))
    assert noise._mean_of_cpuinfo((1, 3), path) == 1400.5
    assert noise._mean_of_cpuinfo((), path) == 1300.5
    assert noise._mean_of_cpuinfo((9,), path) is None


def test_an_arms_own_waiting_is_not_pressure_and_more_than_usual_is():
    usual = Usual()
    for _ in range(KNOWN):
        assert not usual.pressure(PLACE, SliceConditions(stall_share=0.6))
        usual.learn(PLACE, SliceConditions(stall_share=0.6))
    assert not usual.pressure(PLACE, SliceConditions(stall_share=0.6 + STALL_MORE - 0.01))
    found = usual.pressure(PLACE, SliceConditions(stall_share=0.6 + STALL_MORE + 0.01))
    assert found == "taken under pressure (tasks waited for a CPU in 81% of it, usual 60%)"
    assert not usual.pressure(("cpu.integer", "host"), SliceConditions(stall_share=0.9)), "not known yet"


def test_one_thread_learns_from_all_arms_and_is_known_from_the_first_session_on():
    arms = ("host", "host-b", "runtime", "runtime-b", "vm-tcg")
    shared = {("cpu.integer", arm) for arm in arms[:4]}
    usual = Usual(shared=shared)
    for arm in arms[:4]:
        usual.learn(("cpu.integer", arm), SliceConditions(stall_share=0.05))
    loud = SliceConditions(stall_share=0.05 + ONE_THREAD_MORE + 0.01)
    assert all(usual.pressure(("cpu.integer", arm), loud) for arm in arms[:4]), "one slice of each was enough"
    assert not usual.pressure(("cpu.integer", "vm-tcg"), loud), "a guest's threads wait for one another"
    assert not usual.pressure(("cpu.float", "host"), loud), "another scenario is not known yet"


def test_slices_of_one_thread_share_what_is_usual_and_others_do_not():
    plan = make_plan(PROFILES["quick"], 1, fake_arms(runtime="runtime", vm="vm-tcg"), fake_scenarios())
    family = {one.name: one.family for one in fake_scenarios()}
    found = one_thread(plan, family)
    assert ("cpu.integer", "runtime-b") in found
    assert not {("cpu.integer", "vm-tcg"), ("network.throughput.bridge", "host")} & found


def test_steal_is_pressure_from_the_first_slice_on_unless_one_tick_may_be_all_of_it():
    assert Usual().pressure(PLACE, SliceConditions(steal_share=STEAL_MORE + 0.01))
    assert not Usual().pressure(PLACE, SliceConditions(steal_share=STEAL_MORE + 0.01, tick_share=0.02))


def test_a_host_under_constant_pressure_repeats_nothing():
    usual = Usual()
    steady = SliceConditions(stall_share=0.9, steal_share=0.3)
    for _ in range(KNOWN):
        usual.learn(PLACE, steady)
    assert not usual.pressure(PLACE, steady)


@given(st.lists(st.tuples(shares, shares), max_size=12), shares, shares, shares)
def test_the_rule_is_monotone_and_silent_on_slices_of_a_tick(before, stall, steal, more):
    usual = Usual()
    for one in before:
        usual.learn(PLACE, SliceConditions(stall_share=one[0], steal_share=one[1]))
    if usual.pressure(PLACE, SliceConditions(stall_share=stall, steal_share=steal)):
        worse = SliceConditions(stall_share=min(1, stall + more), steal_share=min(1, steal + more))
        assert usual.pressure(PLACE, worse)
    assert not usual.pressure(PLACE, SliceConditions(stall_share=1.0, steal_share=1.0, tick_share=0.9))


class Scripted(Gauge):
    """Quiet, except in the slices named by their number."""

    def __init__(self, loud=()) -> None:
        super().__init__((0,), frequency=lambda: 2000.0)
        self.slices = 0
        self.loud = loud

    def read(self):
        return noise.SliceCounters()

    def conditions(self, before, after, duration_ns):
        self.slices += 1
        steal = 0.5 if self.slices in self.loud else 0.0
        return SliceConditions(stall_share=0.0, steal_share=steal, switches=7)


def two(tmp_path, **changes):
    profile = msgspec.structs.replace(SMALL, **changes)
    return Bench(tmp_path, [FakeScenario("cpu.integer", "cpu")], profile, names={})


def test_a_slice_under_pressure_is_repeated_at_once_and_its_first_take_kept_aside(tmp_path):
    bench = two(tmp_path)
    bench.run(gauge=Scripted(loud={3}))
    contents = bench.read()
    third = [one for one in contents.samples if one.order == 2]
    assert [(one.take, one.valid, one.steal_share, one.switches) for one in third] == [
        (0, False, 0.5, 7),
        (1, True, 0.0, 7),
    ]
    assert [one.set_aside for one in third] == ["pressure", ""]
    assert third[0].reason == "taken under pressure (the hypervisor took 50% of the CPUs' time, usual 0%)"
    assert third[0].value is not None
    assert all(one.take == 0 and one.valid for one in contents.samples if one.order != 2)
    steps = len(bench.plan.steps)
    assert repeated(contents.samples) == (
        f"1 of {steps + 1} slices were taken under pressure and repeated ({third[0].arm} 1)"
    )


def test_the_last_take_counts_whatever_its_conditions(tmp_path):
    bench = two(tmp_path)
    bench.run(gauge=Scripted(loud={1, 2, 3}))
    first = [one for one in bench.read().samples if one.order == 0]
    assert [(one.take, one.valid) for one in first] == [(n, n == TAKES - 1) for n in range(TAKES)]


def test_repetitions_keep_to_their_part_of_the_budget(tmp_path):
    class Takes(FakeScenario):
        def run(self, context):
            self.clock.advance(1.0)
            return super().run(context)

    profile = msgspec.structs.replace(SMALL, budget_s=100.0, max_visits=8)
    bench = Bench(tmp_path, [Takes("disk.layer", "disk")], profile, names={})
    Takes.clock = bench.clock
    bench.run(gauge=Scripted(loud=set(range(1000))))
    again = [one for one in bench.read().samples if one.set_aside == "pressure"]
    assert 8 <= len(again) <= 10


def test_a_slice_that_takes_too_long_is_not_repeated(tmp_path):
    class Takes(FakeScenario):
        def run(self, context):
            self.clock.advance(30.0)
            return super().run(context)

    bench = Bench(tmp_path, [Takes("cpu.integer", "cpu")], SMALL, names={})
    Takes.clock = bench.clock
    bench.run(gauge=Scripted(loud=set(range(1000))))
    assert all(one.valid and one.take == 0 for one in bench.read().samples)


def test_a_failed_slice_is_not_repeated_for_pressure(tmp_path):
    bench = two(tmp_path)
    for backend in bench.backends.values():
        backend._fails = lambda event: "boom" if event[0] == "run" else ""
    bench.run(gauge=Scripted(loud=set(range(1000))))
    samples = bench.read().samples
    assert {one.take for one in samples} == {0}
    assert {one.set_aside for one in samples} == {"failed"}


def test_a_resumed_run_knows_what_was_usual():
    usual, again = Usual(), []
    for order in range(KNOWN):
        found = SliceConditions(stall_share=0.5, steal_share=0.0)
        usual.learn(PLACE, found)
        again.append(kept(order, found))
    loud = SliceConditions(stall_share=0.9, steal_share=0.0)
    assert Usual(again).pressure(PLACE, loud) == usual.pressure(PLACE, loud) != ""


def kept(order, conditions):
    return Sample(
        run="r",
        session=0,
        block=0,
        order=order,
        scenario=PLACE[0],
        arm=PLACE[1],
        metric=PLACE[0],
        unit="s",
        better="lower",
        value=1.0,
        start_ns=0,
        duration_ns=10**8,
        stall_share=conditions.stall_share,
        steal_share=conditions.steal_share,
    )
