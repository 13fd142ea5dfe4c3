"""What a plan promises: pairs close in time, everything randomised by the seed and by nothing else."""

from collections import Counter
from itertools import groupby, pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench import claims
from bench import plan as plans
from bench.backends.base import InstanceSpec
from bench.model import ArmPlan, Looks, Plan
from bench.plan import draft
from bench.plan.choice import choose
from bench.profiles import CORE_SHARE, MIN_SESSIONS, PROFILES, Profile, ProfileError, pace, profile
from bench.scenarios.base import VOLUME
from bench.scenarios.memory import PER_INSTANCE, IdleMemory
from bench.testing import FakeScenario, fake_arms, fake_scenarios

ARMS = fake_arms(runtime="runtime", vm="vm-tcg")


def quick(seed: int = 1, **changes: object) -> Plan:
    return plans.make_plan(
        msgspec.structs.replace(PROFILES["quick"], **changes), seed, ARMS, fake_scenarios(), cpus=(0, 1)
    )


@st.composite
def inputs(draw: st.DrawFn) -> tuple[Profile, int, tuple[ArmPlan, ...], list[FakeScenario]]:
    families = st.sampled_from(["cpu", "disk", "network", "startup"])
    specs = st.sampled_from([InstanceSpec(), InstanceSpec(network="bridge"), InstanceSpec(network="nat")])
    scenarios = [
        FakeScenario(
            f"metric.{index}",
            draw(families),
            kind=draw(st.sampled_from(["slice", "slice", "instance"])),
            role=draw(st.sampled_from(["primary", "stress", "info"])),
            cost_s=draw(st.floats(0.001, 3)),
            every_nth_block=draw(st.integers(1, 3)),
            spec=draw(specs),
        )
        for index in range(draw(st.integers(1, 9)))
    ]
    names = draw(st.sets(st.sampled_from(["runtime", "vm-tcg", "vm-kvm", "docker", "novel"])))
    budget = msgspec.structs.replace(
        PROFILES[draw(st.sampled_from(sorted(PROFILES)))],
        budget_s=draw(st.floats(1, 400)),
        sessions=draw(st.integers(1, 6)),
        first_look=draw(st.integers(0, 6)),
        max_visits=draw(st.integers(1, 6)),
    )
    arms = fake_arms(**{name: name for name in sorted(names)})
    return budget, draw(st.integers(0, 2**32)), arms, scenarios


def test_the_same_seed_gives_the_same_bytes():
    assert plans.encoded(quick(7)) == plans.encoded(quick(7))


def test_what_verdicts_pair_is_neighbours_and_either_of_them_is_first():
    turns = [
        [step.arm for step in turn]
        for _, turn in groupby(quick().steps, key=lambda s: (s.session, s.group, s.block, s.scenario))
    ]
    for one, other in (("host", "runtime"), ("host-b", "runtime-b")):
        apart = [turn.index(other) - turn.index(one) for turn in turns if {one, other} <= set(turn)]
        assert set(apart) == {1, -1}
        assert 0.4 < sum(place == 1 for place in apart) / len(apart) < 0.6
    firsts = Counter(turn[0] for turn in turns)
    assert {"host", "host-b", "host-2pct", "runtime", "runtime-b"} <= firsts.keys()


def test_a_run_of_one_system_without_a_copy_has_no_neighbours():
    assert plans.neighbours(fake_arms(crun="crun")) == ()
    assert plans.neighbours(fake_arms()) == ()


def test_another_seed_gives_another_order_of_the_same_visits():
    one, other = quick(1), quick(2)
    assert [s.arm for s in one.steps] != [s.arm for s in other.steps]
    assert Counter((s.scenario, s.arm) for s in one.steps) == Counter(
        (s.scenario, s.arm) for s in other.steps
    )


@settings(max_examples=50, deadline=None)
@given(inputs())
def test_order_counts_from_zero_over_the_run(given_inputs):
    found = plans.make_plan(*given_inputs)
    assert [step.order for step in found.steps] == list(range(len(found.steps)))


@settings(max_examples=50, deadline=None)
@given(inputs())
def test_a_turn_holds_each_arm_once_and_nothing_comes_between(given_inputs):
    found = plans.make_plan(*given_inputs)
    turns = [
        (key, [step.arm for step in steps])
        for key, steps in groupby(found.steps, key=lambda s: (s.session, s.group, s.block, s.scenario))
    ]
    assert len({key for key, _ in turns}) == len(turns), "a turn is split"
    fast = [arm for arm in given_inputs[2] if not pace(arm).slow]
    by_name = {scenario.name: scenario for scenario in given_inputs[3]}
    for key, arms in turns:
        assert len(set(arms)) == len(arms), key
        assert {arm.name for arm in fast if plans.serves(arm, by_name[key[3]])} <= set(arms), key


@settings(max_examples=50, deadline=None)
@given(inputs())
def test_the_core_sessions_hold_every_scenario_and_every_arm_of_it(given_inputs):
    profile, _, arms, scenarios = given_inputs
    found = plans.make_plan(*given_inputs)
    chosen = choose(scenarios, profile.per_family)
    expected = {(one.name, arm.name) for one in chosen for arm in arms if plans.serves(arm, one)}
    for session in range(0, min(max(MIN_SESSIONS, profile.slow_sessions), profile.sessions), profile.every):
        first = {(s.scenario, s.arm) for s in found.steps if s.session == session and s.block == 0}
        slow = {arm.name for arm in arms if pace(arm).slow and session >= profile.slow_sessions}
        thinned = set(found.thinned) if session < found.core else set()
        attending = {(scenario, arm) for scenario, arm in expected if arm not in slow}
        assert first <= attending
        assert {place for place in attending if place[0] not in thinned} <= first


@settings(max_examples=50, deadline=None)
@given(inputs())
def test_the_control_gets_exactly_what_the_host_gets(given_inputs):
    found = plans.make_plan(*given_inputs)
    visits = {
        arm: Counter((s.session, s.block, s.scenario) for s in found.steps if s.arm == arm)
        for arm in ("host", "host-b")
    }
    assert visits["host"] == visits["host-b"]


@settings(max_examples=50, deadline=None)
@given(inputs())
def test_scenarios_share_a_group_exactly_when_their_instances_are_equal(given_inputs):
    found = plans.make_plan(*given_inputs)
    by_name = {scenario.name: scenario for scenario in given_inputs[3]}
    for step in found.steps:
        scenario = by_name[step.scenario]
        expected = plans.OWN if scenario.kind == "instance" else f"net-{scenario.spec.network}"
        assert step.group == expected


@settings(max_examples=50, deadline=None)
@given(inputs())
def test_the_forecast_keeps_the_budget_when_one_visit_each_does(given_inputs):
    chosen, seed, arms, scenarios = given_inputs
    by_name = {scenario.name: scenario for scenario in scenarios}

    def core(budget: Profile) -> float:
        found = plans.make_plan(budget, seed, arms, scenarios)
        costs = plans.forecast(found, by_name, budget)
        return sum(cost for session, _, cost in costs if session < found.core)

    least = core(msgspec.structs.replace(chosen, budget_s=0.0))
    share = CORE_SHARE if 0 < chosen.first_look <= chosen.sessions else 1.0
    not_worth_thinning = draft.DEAR * chosen.budget_s * len(scenarios)
    assert core(chosen) <= max(share * chosen.budget_s, least + not_worth_thinning) * 1.001


@settings(max_examples=50, deadline=None)
@given(inputs())
def test_sessions_of_the_core_are_alike_and_later_ones_hold_no_less(given_inputs):
    found = plans.make_plan(*given_inputs)
    visits: dict[int, Counter[tuple[str, str]]] = {}
    for step in found.steps:
        if not pace(found.arm[step.arm]).slow:
            visits.setdefault(step.session, Counter())[step.scenario, step.arm] += 1
    for counted in visits.values():
        for place in [place for place in counted if place[0] in found.thinned]:
            del counted[place]
    for session, counted in visits.items():
        if session < found.core:
            assert counted == visits[session % found.every] <= visits[0]
        else:
            assert counted >= visits[0]


def test_a_core_dearer_than_its_share_is_thinned_where_no_sentence_rests_and_says_so():
    scenarios = [
        FakeScenario("cpu.integer", "cpu", cost_s=1.125, by_turns=True),
        FakeScenario("disk.randread.layer", "disk", cost_s=3.0),
        FakeScenario("cpu.syscall", "cpu", role="stress", cost_s=3.9),
        FakeScenario("cpu.page_fault", "cpu", role="stress", cost_s=0.001),
    ]
    found = plans.make_plan(PROFILES["quick"], 1, ARMS[:5], scenarios)
    assert found.thinned == ("disk.randread.layer", "cpu.syscall")
    core = Counter((s.scenario, s.session) for s in found.steps if s.session < found.core and s.arm == "host")
    sessions = {name: sorted(session for one, session in core if one == name) for name in found.scenarios}
    assert sessions["disk.randread.layer"] == [0, 4]
    assert sessions["cpu.syscall"] == [2, 6], "by turns, so that sessions take about as long"
    assert sessions["cpu.integer"] == sessions["cpu.page_fault"] == list(range(8))
    assert not quick().thinned


def test_a_core_that_is_still_too_dear_leaves_the_suites_own_questions_to_what_comes_after_it():
    scenarios = [
        FakeScenario("cpu.integer", "cpu", cost_s=5.0, by_turns=True),
        FakeScenario("disk.randread.layer", "disk", cost_s=10.0),
        FakeScenario("cpu.syscall", "cpu", role="stress", cost_s=12.0),
    ]
    found = plans.make_plan(PROFILES["quick"], 1, ARMS[:5], scenarios)
    there = {name: {s.session for s in found.steps if s.scenario == name} for name in found.scenarios}
    assert there["disk.randread.layer"] == set(range(found.core, found.sessions))
    assert there["cpu.syscall"] == {2, *range(found.core, found.sessions)}, "what explains is not put off"
    assert set(found.thinned) == {"disk.randread.layer", "cpu.syscall"}
    later = Counter(s.session for s in found.steps if (s.scenario, s.arm) == ("disk.randread.layer", "host"))
    assert set(later.values()) == {draft.LATER}


def start_serves(profile: str) -> Plan:
    bridge = InstanceSpec(network="bridge")
    scenarios = [
        FakeScenario("cpu.integer", "cpu", spec=InstanceSpec(volume=VOLUME)),
        FakeScenario("network.throughput.bridge", "network", spec=bridge),
        FakeScenario("startup.first_byte", "startup", kind="instance"),
        IdleMemory(name="memory.per_instance", metrics=(PER_INSTANCE,), cost_s=0.04, from_start=True),
    ]
    return plans.make_plan(PROFILES[profile], 1, ARMS, scenarios)


def test_a_slow_arms_start_is_asked_all_it_can_tell_before_its_instance_works():
    found = start_serves("quick")
    served = [s for s in found.steps if (s.scenario, s.arm) == ("memory.per_instance", "vm-tcg")]
    profile = PROFILES["quick"]
    assert {s.session for s in served} == set(range(0, profile.slow_sessions, profile.every))
    for step in served:
        group = [s for s in found.steps if (s.session, s.group) == (step.session, "net-bridge")]
        assert step.block == 0 and group[0] == step, "its guest has no volume, and has not worked yet"
    others = [s for s in found.steps if s.scenario == "memory.per_instance" and s.arm != "vm-tcg"]
    assert {s.group for s in others} == {"own"}
    assert {(s.session, s.block) for s in served} <= {(s.session, s.block) for s in others if s.arm == "host"}
    assert {s.group for s in found.steps if s.scenario == "startup.first_byte"} == {"own"}


def test_where_a_slow_arm_joins_several_visits_each_has_a_start_of_its_own():
    found = start_serves("full")
    assert {s.group for s in found.steps if s.scenario == "memory.per_instance"} == {"own"}


def test_cheap_slices_that_decide_come_several_times_a_session():
    for session in (0, 2):
        visits = Counter(s.scenario for s in quick().steps if (s.session, s.arm) == (session, "host"))
        assert all(
            visits[name] >= PROFILES["quick"].pairs
            for name in ("cpu.integer", "memory.bandwidth", "memory.latency")
        )


def test_a_run_looks_after_the_session_its_profile_names_and_smoke_never_does():
    assert quick().looks == Looks(first=4, last=16, core=8)
    assert quick(sessions=3).looks is None
    assert plans.make_plan(PROFILES["smoke"], 1, ARMS, fake_scenarios()).looks is None


def test_controls_attend_what_they_have_a_use_in():
    found = quick()
    attended = {
        arm: {step.scenario for step in found.steps if step.arm == arm}
        for arm in ("host", "host-b", "host-2pct", "runtime", "runtime-b")
    }
    assert attended["host"] == attended["host-b"] == attended["runtime"]
    assert attended["runtime"] - attended["runtime-b"] == {"cpu.syscall"}
    assert attended["runtime-b"] - attended["host-2pct"] == {
        "startup.first_instruction",
        "startup.first_byte",
    }
    extra = {arm.name: (arm.extra, arm.twin_of) for arm in found.arms if arm.role in ("positive", "control")}
    assert extra == {"host-b": (0.0, "host"), "runtime-b": (0.0, "runtime"), "host-2pct": (0.02, "")}


def test_the_second_copy_of_the_runtime_goes_by_its_final_name():
    arms = fake_arms(runtime="fast", again="again")
    assert [(arm.name, arm.role, arm.twin_of) for arm in arms] == [
        ("host", "baseline", ""),
        ("host-b", "control", "host"),
        ("host-2pct", "positive", ""),
        ("fast", "arm", ""),
        ("fast-b", "control", "fast"),
        ("again", "arm", ""),
    ]


def test_primary_metrics_get_more_visits_than_stress_ones_of_equal_cost():
    scenarios = [FakeScenario("main", "cpu", cost_s=2), FakeScenario("side", "cpu", cost_s=2, role="stress")]
    found = plans.make_plan(PROFILES["quick"], 1, ARMS[:2], scenarios)
    visits = Counter(step.scenario for step in found.steps if step.session == 0)
    assert visits["main"] > visits["side"] > 0


def test_slow_arms_attend_the_first_sessions_only():
    attended = range(0, PROFILES["quick"].slow_sessions, PROFILES["quick"].every)
    assert {step.session for step in quick().steps if step.arm == "vm-tcg"} == set(attended)
    assert len([session for session in attended if session < quick().core]) >= MIN_SESSIONS
    assert max(attended) < quick().sessions - 1


def test_a_profile_leaves_out_what_only_explains_on_slow_arms():
    quick_slices = msgspec.structs.replace(PROFILES["quick"], slow_per_family=2)
    slow = plans.too_slow(quick_slices, ARMS, fake_scenarios())
    assert slow == {("vm-tcg", "cpu.syscall")}
    assert not plans.too_slow(PROFILES["full"], ARMS, fake_scenarios())


def test_every_scenario_keeps_its_stride():
    scenarios = [FakeScenario("often", "cpu"), FakeScenario("seldom", "cpu", every_nth_block=3)]
    found = plans.make_plan(msgspec.structs.replace(PROFILES["quick"], max_visits=6), 1, ARMS[:2], scenarios)
    visits = Counter(step.scenario for step in found.steps if step.arm == "host" and step.session == 0)
    assert visits["often"] == 6
    assert visits["seldom"] <= 2


def test_an_excluded_pair_is_not_planned_and_others_are():
    scenarios = fake_scenarios()
    found = plans.make_plan(
        PROFILES["quick"], 1, ARMS, scenarios, excluded=frozenset({("vm-tcg", "network.throughput.nat")})
    )
    arms = {step.arm for step in found.steps if step.scenario == "network.throughput.nat"}
    assert arms == {"host", "host-b", "host-2pct", "runtime", "runtime-b"}


def test_a_scenario_the_host_cannot_run_has_no_pair_and_is_left_out():
    found = plans.make_plan(
        PROFILES["quick"], 1, ARMS, fake_scenarios(), excluded=frozenset({("host", "cpu.integer")})
    )
    assert "cpu.integer" not in found.scenarios


def test_smoke_visits_all_families_and_is_one_session():
    found = plans.make_plan(PROFILES["smoke"], 1, ARMS, fake_scenarios())
    family = {scenario.name: scenario.family for scenario in fake_scenarios()}
    assert {family[step.scenario] for step in found.steps} == set(family.values())
    assert found.sessions < MIN_SESSIONS


@pytest.mark.parametrize("name", ["quick", "full"])
def test_profiles_with_verdicts_have_enough_sessions(name):
    assert PROFILES[name].slow_sessions >= MIN_SESSIONS
    assert PROFILES[name].sessions >= {"quick": 5, "full": 12}[name]


@pytest.mark.parametrize("name", ["quick", "full"])
def test_the_first_look_can_decide_what_has_one_pair_a_session(name):
    assert claims.load().min_sessions == MIN_SESSIONS <= PROFILES[name].first_look


def test_an_unknown_profile_is_answered_with_the_known_ones():
    with pytest.raises(ProfileError, match=r"'fast'.*smoke, quick, full"):
        profile("fast")


def test_no_scenario_is_an_error():
    with pytest.raises(plans.PlanError, match=r"\bscenario\b"):
        plans.make_plan(PROFILES["quick"], 1, ARMS, [])


def test_two_definitions_of_one_metric_are_an_error():
    scenarios = [FakeScenario("cpu.integer", "cpu"), FakeScenario("cpu.integer", "cpu", role="stress")]
    with pytest.raises(plans.PlanError, match=r"'cpu\.integer'"):
        plans.make_plan(PROFILES["quick"], 1, ARMS, scenarios)


def test_warm_ups_are_for_fresh_instances_only():
    found, by_name = quick(), {s.name: s for s in fake_scenarios()}
    assert plans.warmups(found, 0, plans.OWN, by_name, PROFILES["quick"]) == []
    cheapest = plans.warmups(found, 0, "net-none", by_name, PROFILES["quick"])
    everything = plans.warmups(found, 0, "net-none", by_name, PROFILES["full"])
    assert Counter(step.arm for step in cheapest) == {arm.name: 1 for arm in ARMS if not pace(arm).slow}
    assert len(everything) == len(
        {(step.arm, step.scenario) for step in found.steps if step.group == "net-none"}
    )


@given(st.integers(1, 40), st.integers(0, 40))
def test_spread_is_even_and_begins_at_the_front(count, more):
    found = plans.spread(count, count + more)
    gaps = {b - a for a, b in pairwise(found)}
    assert found[0] == 0
    assert len(set(found)) == count
    assert found[-1] < count + more
    assert not gaps or max(gaps) - min(gaps) <= 1


def test_what_a_slow_arm_cannot_run_takes_no_place_from_what_it_can():
    profile = msgspec.structs.replace(PROFILES["quick"], slow_per_family=1)
    scenarios = [FakeScenario("network.host", "network"), FakeScenario("network.bridge", "network")]
    slow = plans.too_slow(profile, ARMS, scenarios, frozenset({("vm-tcg", "network.host")}))
    assert ("vm-tcg", "network.bridge") not in slow


def test_what_runs_by_turns_has_many_sessions_and_what_is_dear_every_second_one():
    scenarios = [
        FakeScenario("cpu.integer", "cpu", by_turns=True),
        FakeScenario("network.throughput.bridge", "network", cost_s=1.0),
        FakeScenario("startup.first_instruction", "startup", kind="instance", cost_s=0.005),
    ]
    found = plans.make_plan(PROFILES["quick"], 1, ARMS, scenarios)
    assert found.in_core["cpu.integer", "runtime"] == found.in_core["startup.first_instruction", "host"] == 8
    assert found.in_core["network.throughput.bridge", "runtime"] == 4
    assert found.in_core["cpu.integer", "vm-tcg"] == found.in_core["startup.first_instruction", "vm-tcg"] == 4


def test_what_is_measured_in_any_case_is_the_first_visit_of_each_arm_in_the_sessions_of_a_verdict():
    scenarios = {s.name: s for s in [FakeScenario("cpu.integer", "cpu", by_turns=True)]}
    found = plans.make_plan(PROFILES["quick"], 1, ARMS, list(scenarios.values()))
    always = plans.guarded(found, scenarios)
    kept = Counter((s.session, s.arm) for s in found.steps if s.order in always)
    assert set(kept.values()) == {1}
    assert {session for session, arm in kept if arm == "vm-tcg"} == {0, 2, 4, 6}
    assert {session for session, arm in kept if arm == "runtime"} == set(range(plans.least_sessions(found)))


def test_a_machine_has_visits_apart_from_those_that_run_by_turns():
    scenarios = [FakeScenario("cpu.integer", "cpu", by_turns=True), FakeScenario("disk.image", "disk")]
    arms = fake_arms(runtime="runtime", vm="vm-kvm")
    found = plans.make_plan(PROFILES["quick"], 1, arms, scenarios)
    assert found.by_turns == ("cpu.integer",)
    turns: dict[tuple[str, int, int], set[str]] = {}
    for step in found.steps:
        turns.setdefault((step.scenario, step.session, step.block), set()).add(step.arm)
    fast = {"host", "host-b", "host-2pct", "runtime", "runtime-b"}
    in_first = Counter(frozenset(arms) for place, arms in turns.items() if place[:2] == ("cpu.integer", 0))
    apart = frozenset({"host", "host-b", "vm-kvm"})
    assert in_first.keys() == {frozenset(fast), apart}
    assert in_first[frozenset(fast)] == 2 * in_first[apart]
    assert all(arms == {*fast, "vm-kvm"} for place, arms in turns.items() if place[0] == "disk.image")
