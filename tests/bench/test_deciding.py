"""Looks at a run that goes on: what is decided for which arm, and how long the others may take."""

import math

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.claims import load
from bench.judge import judge
from bench.judging.deciding import Progress, progress
from tests.bench.judge_samples import samples
from tests.bench.looking import ARMS, HOST_ONLY, LOOKS, closed, plan

CLAIMS = load()
EFFECTS = {"host": 0.0, "host-b": 0.0, "runtime": 0.0, "runtime-b": 0.0, "host-2pct": math.log(1 / 1.02)}


def look(frame: pd.DataFrame, sessions: int, **how: object) -> dict[tuple[str, str], Progress]:
    names = sorted(set(frame["scenario"]))
    return {
        (one.scenario, one.arm): one
        for one in progress(frame, CLAIMS, how.pop("plan", plan(names)), sessions, **how)
    }


def test_every_arm_of_every_planned_scenario_is_reported() -> None:
    found = look(samples(["cpu.integer", "cpu.syscall"], EFFECTS), 6)
    assert set(found) == {(name, arm.name) for name in ("cpu.integer", "cpu.syscall") for arm in ARMS}


@pytest.mark.parametrize(
    ("effect", "noise", "decided"), [(0.0, 0.001, True), (-0.05, 0.001, True), (-0.01, 0.01, False)]
)
def test_supported_and_refuted_are_decided_and_the_margin_is_not(
    effect: float, noise: float, decided: bool
) -> None:
    found = look(samples(["cpu.integer"], {**EFFECTS, "runtime": effect}, noise=noise), 6)
    assert found["cpu.integer", "runtime"].decided is decided
    assert found["cpu.integer", "runtime"].primary


def test_an_open_arm_says_how_many_sessions_it_may_take() -> None:
    one = look(samples(["cpu.integer"], {**EFFECTS, "runtime": -0.003}, noise=0.01), 6)[
        "cpu.integer", "runtime"
    ]
    assert not one.decided
    assert 6 < one.needed < 100


def test_controls_and_baseline_stay_as_long_as_the_arm_they_serve() -> None:
    far = {**EFFECTS, "docker": -0.2}
    frame = samples(["cpu.integer"], {**far, "runtime": -0.01}, noise=0.01)
    found = look(
        frame, 6, plan=plan(["cpu.integer"], arms=(*ARMS, msgspec.structs.replace(ARMS[2], name="docker")))
    )
    decided = {
        arm: found["cpu.integer", arm].decided for arm in ("docker", "runtime", "runtime-b", "host-b", "host")
    }
    assert decided == {"docker": True, "runtime": False, "runtime-b": False, "host-b": False, "host": False}


def test_the_positive_control_is_decided_when_it_is_found() -> None:
    found = look(samples(["cpu.integer"], EFFECTS, noise=0.001), 6)
    assert found["cpu.integer", "host-2pct"].decided
    loud = look(samples(["cpu.integer"], EFFECTS, noise=0.02), 6)
    assert not loud["cpu.integer", "host-2pct"].decided


def test_only_primary_comparisons_keep_a_scenario_that_has_one() -> None:
    both = samples(["network.latency.nat", "network.throughput.nat"], EFFECTS, noise=0.001).assign(
        scenario="s"
    )
    both.loc[both["metric"] == "network.latency.nat", "value"] *= np.random.default_rng(1).uniform(
        0.5, 2, int((both["metric"] == "network.latency.nat").sum())
    )
    assert look(both, 6)["s", "runtime"].decided
    alone = look(both[both["metric"] == "network.latency.nat"], 6)["s", "runtime"]
    assert (alone.decided, alone.primary) == (False, False)


def test_a_metric_that_is_only_shown_asks_for_nothing() -> None:
    one = look(
        samples(["network.loopback"], EFFECTS), 6, plan=plan(["network.loopback"], info=("network.loopback",))
    )
    assert all(found.decided and not found.primary for found in one.values())


@pytest.mark.parametrize(("sessions", "blocks", "needed"), [(2, 4, 5), (4, 1, 5)])
def test_too_little_data_is_open_with_an_end_in_sight(sessions: int, blocks: int, needed: int) -> None:
    frame = samples(["cpu.integer"], EFFECTS, sessions=sessions, blocks=blocks, noise=0.0001)
    one = look(frame, sessions)["cpu.integer", "runtime"]
    assert (one.decided, one.needed) == (False, needed)


def test_nothing_is_decided_before_the_first_look() -> None:
    frame = samples(["cpu.integer"], EFFECTS, sessions=4, noise=0.0001)
    assert not look(frame, LOOKS.first - 1)["cpu.integer", "runtime"].decided


def test_an_arm_without_a_usable_sample_is_open_with_an_end_in_sight() -> None:
    frame = samples(["cpu.integer"], EFFECTS)
    frame.loc[frame["arm"] == "runtime", ["valid", "value"]] = [False, math.nan]
    for one in (frame, frame[frame["arm"] != "runtime"]):
        found = look(one, 6)["cpu.integer", "runtime"]
        assert not found.decided
        assert math.isfinite(found.needed)


def test_a_closed_arm_stays_decided_whatever_its_samples_say() -> None:
    frame = samples(["cpu.integer"], {**EFFECTS, "runtime": -0.01}, noise=0.01)
    one = look(frame, 9, closed=[closed("cpu.integer", "runtime", 6)])["cpu.integer", "runtime"]
    assert (one.decided, one.needed) == (True, 9.0)


def test_a_plan_of_host_arms_alone_judges_its_controls() -> None:
    quiet = {"host": 0.0, "host-b": 0.0, "host-2pct": math.log(1 / 1.02)}
    found = look(samples(["cpu.integer"], quiet, noise=0.001), 6, plan=plan(["cpu.integer"], arms=HOST_ONLY))
    assert found["cpu.integer", "host-b"].decided
    loud = look(samples(["cpu.integer"], quiet, noise=0.03), 6, plan=plan(["cpu.integer"], arms=HOST_ONLY))
    assert not loud["cpu.integer", "host-b"].decided
    assert not loud["cpu.integer", "host"].decided


def test_a_pair_whose_other_side_comes_no_more_keeps_nobody() -> None:
    name = "memory.per_instance"
    near = {**EFFECTS, "vm-tcg": math.log(10.0)}
    frame = samples([name], near, unit="B", better="lower", noise=0.3)
    arms = (*ARMS, msgspec.structs.replace(ARMS[2], name="vm-tcg"))
    goes_on = look(frame, 6, plan=plan([name], arms=arms))
    assert not goes_on[name, "runtime"].decided
    assert not goes_on[name, "vm-tcg"].decided
    ended = look(frame, 6, plan=plan([name], arms=arms, attends={"vm-tcg": 5}))
    assert ended[name, "runtime"].decided
    assert ended[name, "vm-tcg"].needed == math.inf


def test_a_session_that_went_to_others_is_not_a_look() -> None:
    frame = samples(["cpu.integer"], {**EFFECTS, "runtime": -0.003}, sessions=6, noise=0.008)
    first = look(frame, 6)["cpu.integer", "runtime"]
    later = look(frame, 20)["cpu.integer", "runtime"]
    assert (first.decided, later.decided) == (False, False)
    assert later.needed - 20 == first.needed - 6


def test_a_tail_is_open_until_it_has_the_values_for_a_bound() -> None:
    frame = samples(["startup.first_instruction"], EFFECTS, unit="ns", better="lower", level=1e6)
    one = look(frame, 6)["startup.first_instruction", "runtime"]
    assert not one.decided
    assert 299 / 4 < one.needed < 446 / 4  # four starts a session, 299 to 446 for so many or so few sessions


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.floats(-0.03, 0.02), st.integers(5, 24))
def test_what_a_look_closes_the_judge_finds_decided(seed: int, effect: float, sessions: int) -> None:
    names = ["cpu.integer", "memory.latency"]
    frame = samples(names, {**EFFECTS, "runtime": effect}, sessions=sessions, blocks=2, luck=0.004, seed=seed)
    found = [one for one in look(frame, sessions).values() if one.arm == "runtime" and one.decided]
    ended = [closed(one.scenario, one.arm, sessions) for one in found]
    rows = judge(frame, CLAIMS, plan(names), closed=ended, sessions_run=sessions)
    states = {row.metric: row for row in rows if row.arm == "runtime" and row.n_pairs and row.metric != "*"}
    for one in found:
        assert (
            states[one.scenario].verdict in ("supported", "refuted")
            or "run invalid" in states[one.scenario].reason
        )
