"""What a look leaves to measure: never what is decided, always the baseline, the time where it decides."""

import math

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from bench.judging.deciding import Progress
from bench.measure.interim import Interim
from bench.measure.ledger import RunLedger
from bench.measure.looks import Candidate, allocate, attending, seconds_ahead
from bench.measure.slices import Taken
from bench.model import Closed, Sample
from bench.plan import make_plan
from bench.profiles import PROFILES, pace, visit_s
from bench.testing import FakeScenario, fake_arms

ARMS = fake_arms(runtime="runtime", crun="crun")
HOST = fake_arms()
SCENARIOS = [
    FakeScenario("cpu.a", "cpu"),
    FakeScenario("cpu.b", "cpu"),
    FakeScenario("cpu.stress", "cpu", role="stress"),
]
PLAN = make_plan(PROFILES["quick"], 1, ARMS, SCENARIOS, cpus=(0,))


def candidate(
    name: str, to_go: float = 1.0, block_s: float = 1.0, blocks: int = 4, primary: bool = True, most: int = 0
):
    return Candidate(
        scenario=name, primary=primary, to_go=to_go, block_s=block_s, blocks=blocks, most=most or blocks
    )


candidates = st.lists(
    st.builds(
        Candidate,
        scenario=st.uuids().map(str),
        primary=st.booleans(),
        to_go=st.one_of(st.floats(1, 40), st.just(math.inf)),
        block_s=st.floats(0.01, 50),
        blocks=st.integers(1, 4),
        most=st.integers(4, 9),
        sentence=st.booleans(),
        subject=st.booleans(),
        by_turns=st.booleans(),
    ),
    max_size=12,
)


def test_the_arms_a_run_is_for_are_its_systems_or_else_the_second_copy_of_the_host():
    assert PLAN.judged == {"runtime", "crun"}
    assert make_plan(PROFILES["quick"], 1, HOST, SCENARIOS, cpus=(0,)).judged == {"host-b"}


def test_controls_stay_while_what_they_serve_is_open():
    everyone = {arm.name for arm in ARMS}
    assert attending(PLAN, {"runtime", "crun"}) == everyone
    assert attending(PLAN, {"crun"}) == everyone - {"runtime", "runtime-b"}
    assert attending(PLAN, {"runtime"}, found={"host-2pct"}) == everyone - {"crun", "host-2pct"}
    assert attending(PLAN, ()) == frozenset()


@given(st.sets(st.sampled_from(["runtime", "crun"])), st.sets(st.sampled_from([arm.name for arm in ARMS])))
def test_the_baseline_of_an_open_arm_is_never_dropped(undecided, found):
    there = attending(PLAN, undecided, found)
    assert ("host" in there) == bool(undecided)
    assert {arm for arm in there if arm in ("runtime", "crun")} == undecided


def test_what_is_in_reach_is_visited_in_full_the_cheapest_first():
    given_blocks = allocate([candidate("dear", to_go=3, block_s=9), candidate("cheap", to_go=2)], 100, 7)
    assert given_blocks["cheap"] == 4
    assert 1 <= given_blocks["dear"] < 4, "108 s are not there, so it shares the 92 s that are"


def test_what_is_open_about_other_systems_waits_for_the_runs_subject_unless_it_is_nearly_decided():
    subject = candidate("subject", to_go=5, block_s=4)
    other = msgspec.structs.replace(candidate("other", to_go=2, block_s=8), subject=False, by_turns=False)
    assert allocate([subject, other], 60, 5).keys() == {"subject"}
    nearly = msgspec.structs.replace(other, to_go=1.0)
    assert allocate([subject, nearly], 60, 5)["other"] == 4
    assert allocate([subject, other], 600, 5).keys() == {"subject", "other"}


def test_what_runs_by_turns_comes_before_what_a_forecast_promises_sooner():
    turns = candidate("turns", to_go=5, block_s=4)
    other = msgspec.structs.replace(candidate("other", to_go=2, block_s=8), by_turns=False)
    assert allocate([turns, other], 60, 5).keys() == {"turns"}
    assert allocate([turns, other], 600, 5).keys() == {"turns", "other"}


def test_what_is_out_of_reach_leaves_half_to_the_verdicts_behind_it():
    far = candidate("far", to_go=math.inf, block_s=2, blocks=6)
    near = msgspec.structs.replace(candidate("near", to_go=2, block_s=1), by_turns=False)
    assert allocate([far, near], 60, 5) == {"far": 3, "near": 4}
    assert allocate([far], 60, 5) == {"far": 6}
    hopeless = msgspec.structs.replace(candidate("hopeless", to_go=math.inf), by_turns=False)
    assert allocate([far, near, hopeless], 60, 5).keys() == {"far", "near"}


def test_the_subject_of_a_run_is_the_system_with_a_second_copy_and_without_one_each():
    assert PLAN.subjects == {"runtime"}
    assert make_plan(PROFILES["quick"], 1, fake_arms(crun="crun", vm="vm-tcg"), SCENARIOS).subjects == {
        "crun",
        "vm-tcg",
    }
    assert make_plan(PROFILES["quick"], 1, HOST, SCENARIOS).subjects == {"host-b"}


def test_a_session_has_as_many_pairs_as_bear_an_outlier_or_none():
    far = [msgspec.structs.replace(candidate(name, to_go=math.inf, blocks=9), least=5) for name in "ab"]
    assert allocate(far, 12, 6) == {"a": 5, "b": 5}, "and not two in each of six sessions"
    assert allocate(far, 9, 6) == {"a": 5}
    assert allocate(far, 3, 6) == {"a": 5}, "the clock ends a run"
    assert allocate(far, 90, 6) == {"a": 8, "b": 7}


def test_what_is_out_of_reach_is_spread_over_the_sessions_that_may_come():
    far = [candidate("a", to_go=math.inf), candidate("b", to_go=90)]
    assert allocate(far, 1000, 5) == {"a": 4, "b": 4}
    assert allocate(far, 20, 5) == {"a": 2, "b": 2}
    assert allocate(far, 3, 5) == {"a": 1, "b": 1}


def test_what_only_explains_gets_what_no_open_claim_can_use():
    near, far = candidate("near", to_go=2), candidate("far", to_go=math.inf)
    stress = candidate("stress", primary=False)
    assert allocate([near, stress], 100, 5) == {"near": 4, "stress": 4}
    assert allocate([near, far, stress], 28, 5) == {"near": 4, "far": 4}


@given(candidates, st.floats(0, 500), st.integers(1, 20))
def test_an_allocation_never_starves_what_decides(them, left_s, sessions_left):
    blocks = {one.scenario: one.most for one in them}
    found = allocate(them, left_s, sessions_left)
    assert all(1 <= count <= blocks[name] for name, count in found.items())
    if any(one.primary for one in them):
        assert any(one.primary for one in them if one.scenario in found)
    cost = sum(one.block_s * found.get(one.scenario, 0) for one in them)
    primary = [one for one in them if one.primary]
    first = min((one.tier for one in primary), default=0)
    cheapest = min((one.block_s for one in primary if one.tier == first), default=0.0)
    assert cost <= max(left_s, cheapest) * 1.001


@given(candidates, st.floats(0, 500), st.integers(1, 20))
def test_more_time_never_means_fewer_visits_of_what_is_in_reach(them, left_s, sessions_left):
    them = [one for one in them if one.sentence]
    less, more = allocate(them, left_s, sessions_left), allocate(them, 2 * left_s + 1, sessions_left)
    full = {one.scenario for one in them if one.primary and less.get(one.scenario, 0) >= one.blocks}
    near = {one.scenario for one in them if one.to_go <= sessions_left and one.reach_s <= left_s}
    if sum(one.reach_s for one in them if one.scenario in near) <= left_s:
        assert full & near <= more.keys()


@given(candidates, st.floats(0, 500), st.integers(1, 20))
def test_the_forecast_never_passes_the_budget(them, left_s, sessions_left):
    assert 0 <= seconds_ahead(them, left_s, sessions_left) <= left_s


def sample(step, value=1.0, valid=True) -> Sample:
    return Sample(
        run="r",
        session=step.session,
        block=step.block,
        order=step.order,
        scenario=step.scenario,
        arm=step.arm,
        metric=step.scenario,
        unit="1/s",
        better="higher",
        value=value,
        start_ns=0,
        duration_ns=1,
        valid=valid,
    )


SAMPLES = [sample(step) for step in PLAN.steps]


def decides(decided, primary=("cpu.a", "cpu.b"), needed=9.0):
    """A judge that finds these pairs decided."""

    def decide(samples, sessions, closed):
        known = {(one.scenario, one.arm) for one in closed}
        return [
            Progress(
                scenario=scenario,
                arm=arm,
                decided=(scenario, arm) in decided | known,
                needed=sessions if (scenario, arm) in decided else needed,
                primary=scenario in primary,
            )
            for scenario, arm in dict.fromkeys((step.scenario, step.arm) for step in PLAN.steps)
        ]

    return decide


def test_a_decided_arm_leaves_and_its_scenario_stays_for_the_others():
    interim = Interim(PLAN, decides({("cpu.a", "runtime")}))
    assert interim.look(SAMPLES, 5) == (Closed(scenario="cpu.a", arm="runtime", sessions=5),)
    assert not interim.needs("cpu.a", "runtime")
    assert not interim.needs("cpu.a", "runtime-b")
    assert all(interim.needs("cpu.a", arm) for arm in ("host", "host-b", "host-2pct", "crun"))
    assert interim.undecided() == [("cpu.a", "crun"), ("cpu.b", "crun"), ("cpu.b", "runtime")]
    assert str(interim.tally(90)) == "1 of 4 decided after session 5; about 90 s left"


def test_a_positive_control_that_was_found_leaves_and_one_that_was_not_stays():
    interim = Interim(PLAN, decides({("cpu.a", "host-2pct")}))
    assert interim.look(SAMPLES, 5) == (Closed(scenario="cpu.a", arm="host-2pct", sessions=5),)
    assert not interim.needs("cpu.a", "host-2pct")
    assert interim.needs("cpu.b", "host-2pct")


def test_a_control_never_holds_a_run_open_and_is_looked_for_while_it_goes_on():
    interim = Interim(
        PLAN, decides({(name, arm) for name in ("cpu.a", "cpu.b") for arm in ("runtime", "crun")})
    )
    interim.look(SAMPLES, 5)
    needed = {arm.name for arm in ARMS if interim.needs("cpu.a", arm.name)}
    assert needed == {"host", "host-b", "host-2pct"}
    assert not interim.undecided()
    everything = {(name, arm.name) for name in ("cpu.a", "cpu.b") for arm in ARMS}
    interim = Interim(PLAN, decides(everything))
    interim.look(SAMPLES, 5)
    assert not any(interim.needs("cpu.a", arm.name) for arm in ARMS)


def test_what_never_gave_a_valid_sample_does_not_hold_the_run_open():
    samples = [sample(step, valid=step.arm != "crun") for step in PLAN.steps]
    interim = Interim(PLAN, decides({("cpu.a", "runtime"), ("cpu.b", "runtime")}))
    interim.look(samples, 5)
    assert not interim.undecided()
    assert not interim.needs("cpu.a", "crun")


def test_what_was_never_tried_is_open():
    samples = [sample(step) for step in PLAN.steps if step.scenario != "cpu.b"]
    interim = Interim(PLAN, decides(set()))
    interim.look(samples, 5)
    assert interim.needs("cpu.b", "runtime")
    assert ("cpu.b", "runtime") in interim.undecided()


def test_a_look_taken_again_finds_the_same_and_sees_whole_sessions_only():
    seen = []

    def decide(samples, sessions, closed):
        seen.append(({one.session for one in samples}, tuple(closed)))
        return decides({("cpu.a", "runtime")})(samples, sessions, closed)

    interim = Interim(PLAN, decide)
    first = interim.look(SAMPLES, 6)
    assert interim.look(SAMPLES, 6) == first
    assert seen == [(set(range(6)), ())] * 2


def noisy(needed, scenarios=("cpu.a",)):
    """A judge by whom these take so many sessions with one block each, and fewer with more."""

    def decide(samples, sessions, closed):
        reach = lambda blocks, lucky: sessions + (needed / 2 if lucky else needed) / blocks  # noqa: E731
        return [
            msgspec.structs.replace(one, reach=reach if one.scenario in scenarios else None)
            for one in decides(set())(samples, sessions, closed)
        ]

    return decide


def given_up(needed: float, left_s: float):
    interim = Interim(PLAN, noisy(needed))
    interim.look(SAMPLES, 5)
    steps = [step for step in PLAN.steps if step.session == 5]
    return interim, interim.give_up(steps, lambda scenario, arm: 1.0, left_s)


def test_what_no_block_would_decide_in_time_is_given_up_and_ends_the_run_no_later():
    interim, found = given_up(needed=400.0, left_s=300.0)
    assert {(one.scenario, one.arm) for one in found} == {("cpu.a", "runtime"), ("cpu.a", "crun")}
    assert not interim.needs("cpu.a", "host")
    assert interim.undecided() == [("cpu.b", "crun"), ("cpu.b", "runtime")]
    tally = interim.tally(0)
    assert tally.out_of_reach == 2
    assert [(one.family, one.out_of_reach) for one in tally.families] == [("cpu", 2)]
    assert all(one.seconds is not None and one.seconds > 300 for one in found)


def test_what_luck_would_decide_in_time_is_not_given_up():
    assert not given_up(needed=80.0, left_s=300.0)[1]
    again = Interim(PLAN, noisy(80.0), out_of_reach=given_up(400.0, 300.0)[1])
    again.look(SAMPLES, 6)
    assert not again.needs("cpu.a", "runtime"), "a run that goes on keeps what it gave up"


def test_a_run_until_all_is_decided_measures_only_what_decides():
    steps = [step for step in PLAN.steps if step.session == 5]
    for until, expected in ((False, set(PLAN.scenarios)), (True, {"cpu.a", "cpu.b"})):
        interim = Interim(msgspec.structs.replace(PLAN, until_decided=until), decides(set()))
        interim.look(SAMPLES, 5)
        found = interim.candidates(steps, lambda scenario, arm: 0.05, 7)
        assert {one.scenario for one in found} == expected


def test_pairs_that_differ_more_than_sessions_get_more_blocks():
    interim = Interim(PLAN, noisy(12.0))
    interim.look(SAMPLES, 5)
    steps = [step for step in PLAN.steps if step.session == 5]
    chosen = {c.scenario: c for c in interim.candidates(steps, lambda scenario, arm: 0.05, 7)}
    assert chosen["cpu.a"].blocks > 3
    assert chosen["cpu.a"].to_go * chosen["cpu.a"].blocks <= 2 * 12


def test_in_a_run_of_the_host_alone_its_second_copy_is_judged():
    plan = make_plan(PROFILES["quick"], 1, HOST, SCENARIOS, cpus=(0,))
    interim = Interim(plan, decides({("cpu.a", "host-b"), ("cpu.a", "host")}))
    interim.look([sample(step) for step in plan.steps], 5)
    assert {(one.scenario, one.arm) for one in interim.closed} == {("cpu.a", "host-b"), ("cpu.a", "host")}
    assert interim.undecided() == [("cpu.b", "host-b")]


pairs = st.sets(
    st.tuples(st.sampled_from(["cpu.a", "cpu.b", "cpu.stress"]), st.sampled_from([a.name for a in ARMS]))
)


@given(pairs, st.floats(0, 300), st.integers(5, 11), st.floats(1, 30))
def test_the_next_session_holds_nothing_closed_and_every_pair_whole(decided, left_s, sessions, needed):
    interim = Interim(PLAN, decides(decided, needed=needed))
    interim.look(SAMPLES, sessions)
    steps = [step for step in PLAN.steps if step.session == sessions]
    cost = RunLedger(PLAN, {one.name: one for one in SCENARIOS}).prices(0.0)
    kept, seconds = interim.chosen(steps, cost, left_s)
    assert 0 <= seconds <= left_s
    closed = {(one.scenario, one.arm) for one in interim.closed}
    assert not closed & {(step.scenario, step.arm) for step in kept}
    turns: dict[tuple[str, int], set[str]] = {}
    for step in kept:
        turns.setdefault((step.scenario, step.block), set()).add(step.arm)
    for (scenario, _), arms in turns.items():
        assert arms == {
            arm for arm in {s.arm for s in steps if s.scenario == scenario} if interim.needs(scenario, arm)
        }
        assert "host" in arms
    if interim.undecided():
        assert kept


def test_a_visit_costs_what_was_seen_and_what_lies_between():
    ledger = RunLedger(PLAN, {one.name: one for one in SCENARIOS})
    first, other = PLAN.steps[0], next(one for one in SCENARIOS if one.name != PLAN.steps[0].scenario)
    ledger.measured(first, Taken(samples=(), seconds=2.0))
    assert ledger.prices(4.0)(first.scenario, first.arm) == 4.0
    ledger.measured(first, Taken(samples=(), seconds=4.0))
    price = ledger.prices(6.0)
    assert price(first.scenario, first.arm) == 3.0
    assert price(other.name, "crun") == visit_s(other, pace(PLAN.arm["crun"]))


def test_nothing_that_only_explains_is_visited_while_what_decides_is_thinned():
    far = [candidate("a", to_go=math.inf, blocks=6), candidate("b", to_go=math.inf, block_s=3.0, blocks=6)]
    found = allocate([*far, candidate("stress", block_s=0.1, primary=False)], 5 * 12.0, 5)
    assert found == {"a": 3, "b": 3}


@given(candidates, st.floats(0, 500), st.integers(1, 20))
def test_what_only_explains_comes_last(them, left_s, sessions_left):
    found = allocate(them, left_s, sessions_left)
    if any(not one.primary for one in them if one.scenario in found):
        assert all(found.get(one.scenario, 0) >= one.blocks for one in them if one.primary)


def test_a_sentence_comes_before_a_question_of_the_suites_own_and_that_before_what_explains():
    near = candidate("near", to_go=2, blocks=3)
    own = msgspec.structs.replace(candidate("own", to_go=1, blocks=1), sentence=False)
    stress = candidate("stress", primary=False, blocks=1)
    assert allocate([own, near, stress], 7.5, 5) == {"near": 3, "own": 1}
    assert allocate([own, near, stress], 6.5, 5) == {"near": 3}
    assert allocate([own, near, stress], 12.5, 5) == {"near": 3, "own": 1, "stress": 1}


def test_time_that_nobody_asks_for_makes_what_is_near_the_surer():
    assert allocate([candidate("near", to_go=2, blocks=3, most=9)], 15.0, 5) == {"near": 7}
    assert allocate([candidate("near", to_go=2, blocks=3, most=9)], 150.0, 5) == {"near": 9}
