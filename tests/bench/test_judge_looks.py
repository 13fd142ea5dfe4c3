"""Verdicts of a run that looked at its data: the level each is read at, and how often they err."""

import functools
import math

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.claims import Claims, load
from bench.judge import judge
from bench.judging.comparisons import Comparison, RunSeries, ratio
from bench.judging.deciding import progress
from bench.judging.pairs import collect
from bench.judging.spending import Spending, spending
from bench.model import ArmPlan, Closed, Looks, Plan, Verdict
from bench.stats.cluster import t_interval
from bench.stats.sequential import level
from tests.bench.judge_samples import ALL_ARMS, find, samples
from tests.bench.looking import ARMS, LOOKS, closed, plan

CLAIMS = load()
PERFORMANCE = next(claim for claim in CLAIMS.claim if claim.id == "performance")
PRIMARY = list(PERFORMANCE.primary)
SHORT = Looks(first=5, last=10)


@functools.cache
def pair(sessions: int) -> Comparison:
    """A comparison that was measured in so many sessions."""
    frame = samples(["s"], {"host": 0.0, "runtime": 0.0}, sessions=sessions, blocks=1)
    return ratio(RunSeries(collect(frame)), ("s", "runtime"), "primary", "host")


def spent(closed_: dict[tuple[str, str], int], ends: dict[tuple[str, str], int], **how: object) -> Spending:
    return Spending(**({"looks": LOOKS, "sessions": 20, "closed": closed_, "ends": ends} | how))


# Levels


def test_a_run_that_looks_once_spends_all_of_alpha() -> None:
    once = spending(plan(["s"], looks=None), 6, [closed("s", "runtime", 5)], final=True)
    assert once.level(0.05, pair(6)) == Spending().level(0.05, pair(6)) == 0.05


@pytest.mark.parametrize(
    ("closed_", "ends", "final"),
    [
        ({}, {}, True),
        ({("s", "runtime"): 7}, {}, False),
        ({("s", "runtime"): 9, ("s", "host"): 7}, {}, False),
        ({("other", "runtime"): 7}, {}, True),
        ({}, {("s", "runtime"): 7}, True),
        ({("s", "runtime"): 9}, {("s", "host"): 7}, True),
        ({("s", "runtime"): 7}, {("s", "host"): 9}, False),
        ({}, {("s", "runtime"): 24}, True),
    ],
)
def test_a_pair_ends_by_a_look_or_by_the_plan_and_the_clock(
    closed_: dict[tuple[str, str], int], ends: dict[tuple[str, str], int], final: bool
) -> None:
    expected = level(0.05, 7, LOOKS.first, LOOKS.last, final=final)
    assert spent(closed_, ends).level(0.05, pair(7)) == expected


def test_a_look_at_a_run_that_goes_on_spends_its_share_and_no_more() -> None:
    going = spent({}, {("s", "runtime"): 24}, final=False, sessions=8)
    assert going.level(0.05, pair(8)) == level(0.05, 8, LOOKS.first, LOOKS.last, final=False) < 0.05
    ended = spent({}, {("s", "runtime"): 8}, final=False, sessions=8)
    assert ended.level(0.05, pair(8)) == level(0.05, 8, LOOKS.first, LOOKS.last, final=True)


def test_what_was_ended_for_anothers_sake_before_its_own_first_look_still_has_bounds() -> None:
    early = spent({("s", "runtime"): 6}, {}).level(0.05, pair(3))
    assert early == level(0.05, LOOKS.first, LOOKS.first, LOOKS.last, final=False)


@given(st.integers(2, 24), st.one_of(st.none(), st.integers(5, 24)), st.integers(5, 24))
def test_no_level_is_above_alpha(own: int, stop: int | None, end: int) -> None:
    places = {} if stop is None else {("s", "runtime"): stop}
    assert 0 < spent(places, {("s", "host"): end}).level(0.05, pair(own)) <= 0.05


# Rows


def row_of(closed_: list[Closed], sessions: int, **how: object) -> Verdict:
    frame = samples(["cpu.integer"], {**ALL_ARMS, "runtime": -0.003}, sessions=sessions, noise=0.003)
    return find(
        judge(frame, CLAIMS, plan(["cpu.integer"]), closed=closed_, **how), "performance", "cpu.integer"
    )


def test_a_closed_arm_has_the_bounds_of_its_last_look_and_says_when_that_was() -> None:
    row = row_of([closed("cpu.integer", "runtime", 8)], 8, sessions_run=12)
    assert "decided after 8 of 24 sessions" in row.reason
    assert row.alpha == 0.05
    frame = samples(["cpu.integer"], {**ALL_ARMS, "runtime": -0.003}, sessions=8, noise=0.003)
    logs = RunSeries(collect(frame)).ratios("host")["cpu.integer", "runtime"].locations
    bounds = t_interval(logs, level(0.05, 8, LOOKS.first, LOOKS.last, final=False))
    assert (row.low, row.high) == pytest.approx((math.exp(bounds.low), math.exp(bounds.high)))


def test_an_arm_still_open_at_the_end_has_all_that_is_left() -> None:
    one = row_of([], 8, sessions_run=8)
    assert "decided after" not in one.reason
    assert one.low > row_of([closed("cpu.integer", "runtime", 8)], 8, sessions_run=8).low


def test_an_open_row_says_how_far_the_run_came() -> None:
    frame = samples(["cpu.integer"], {**ALL_ARMS, "runtime": -0.009}, sessions=8, noise=0.02)
    row = find(judge(frame, CLAIMS, plan(["cpu.integer"]), sessions_run=8), "performance", "cpu.integer")
    assert row.verdict == "inconclusive"
    assert "still open after 8 of 24 sessions" in row.reason


def test_the_joint_row_reads_each_metric_at_its_own_look() -> None:
    frame = samples(PRIMARY, ALL_ARMS, sessions=12, noise=0.002)
    cut = [closed(name, "runtime", 6) for name in PRIMARY[:3]]
    ended = frame["scenario"].isin(PRIMARY[:3]) & (frame["arm"] == "runtime") & (frame["session"] >= 6)
    rows = judge(frame[~ended], CLAIMS, plan(PRIMARY), closed=cut, sessions_run=12)
    joint = find(rows, "performance", "*")
    assert joint.verdict == "supported"
    assert joint.n_sessions == 6
    assert joint.low == min(find(rows, "performance", name).low for name in PRIMARY)


# Whole runs


def walked(frame: pd.DataFrame, planned: Plan, claims: Claims = CLAIMS) -> tuple[list[Verdict], list[Closed]]:
    """Look after every session as a run does, measure no more what is decided, judge what that leaves."""
    arms = {arm.name for arm in planned.arms if arm.role == "arm"}
    ended: list[Closed] = []
    kept = frame
    for sessions in range(planned.looks.first, planned.looks.last + 1):
        for one in progress(kept[kept["session"] < sessions], claims, planned, sessions, ended):
            if (
                one.decided
                and one.arm in arms
                and (one.scenario, one.arm) not in {(c.scenario, c.arm) for c in ended}
            ):
                ended.append(closed(one.scenario, one.arm, sessions))
        places = pd.Series(list(zip(kept["scenario"], kept["arm"], strict=True)), index=kept.index)
        over = places.map({(one.scenario, one.arm): one.sessions for one in ended})
        kept = kept[~(kept["session"] >= over)]
    return judge(kept, claims, planned, closed=ended, sessions_run=planned.looks.last), ended


@pytest.mark.slow
def test_on_the_margin_looks_err_no_more_often_than_one_look() -> None:
    names = [f"cpu.sim{n}" for n in range(500)]
    arms = (ARMS[0], ARMS[1], ARMS[2])
    effects = {"host": 0.0, "host-b": 0.0, "runtime": math.log(0.99)}
    frame = samples(names, effects, sessions=SHORT.last, blocks=3, luck=0.01, noise=0.005, seed=7)
    rows, ended = walked(frame, plan(names, arms=arms, looks=SHORT))
    states = [
        row.verdict for row in rows if row.claim == "performance" and row.arm == "runtime" and row.n_pairs
    ]
    assert len(states) == len(names)
    assert any(one.sessions < SHORT.last for one in ended)
    for state in ("supported", "refuted"):
        assert states.count(state) / len(names) < 0.05 + 0.02


@pytest.mark.slow
def test_what_is_clear_is_closed_early_and_called_right() -> None:
    frame = samples(PRIMARY, {**ALL_ARMS, "runtime": 0.005}, sessions=LOOKS.last, noise=0.004)
    rows, ended = walked(frame, plan(PRIMARY))
    assert find(rows, "performance", "*").verdict == "supported"
    assert {(one.scenario, one.arm) for one in ended} == {(name, "runtime") for name in PRIMARY}
    assert max(one.sessions for one in ended) < LOOKS.last / 2


def alike(effect: dict[str, float], arms: int) -> tuple[pd.DataFrame, Plan]:
    """Many arms of one truth, independent of one another: the host itself has no noise here."""
    names = [f"arm{n}" for n in range(arms)]
    effects = {"host": 0.0, "host-b": 0.0, **dict.fromkeys(names, 0.0)}
    frame = samples(list(effect), effects, sessions=SHORT.last, blocks=1, noise=0.01)
    frame.loc[frame["arm"] == "host", "value"] = 100.0
    frame.loc[frame["arm"].isin(names), "value"] *= np.exp(frame["metric"].map(effect))
    planned = [*ARMS[:2], *(ArmPlan(name=name, backend="x", kind="container", role="arm") for name in names)]
    return frame, plan(list(effect), arms=planned, looks=SHORT)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("effect", "wrong"),
    [
        ({"cpu.a": 0.05, "cpu.b": 0.05, "cpu.c": math.log(0.99)}, "supported"),
        (dict.fromkeys(("cpu.a", "cpu.b", "cpu.c"), math.log(0.99)), "refuted"),
    ],
)
def test_a_claim_over_several_metrics_keeps_its_level_under_looks(
    effect: dict[str, float], wrong: str
) -> None:
    one = msgspec.structs.replace(PERFORMANCE, primary=tuple(effect), exempt={})
    frame, planned = alike(effect, 250)
    rows, ended = walked(frame, planned, msgspec.structs.replace(CLAIMS, claim=(one,)))
    joints = [row for row in rows if (row.claim, row.metric) == ("performance", "*")]
    assert len(joints) == 250
    assert not any("run invalid" in row.reason for row in joints)
    assert min(one.sessions for one in ended) < SHORT.last
    assert 0 < sum(row.verdict == wrong for row in joints) / len(joints) < 0.05 + 0.03
