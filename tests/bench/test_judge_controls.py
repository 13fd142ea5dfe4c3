"""The controls of a run: copies that must agree, extra work that must be found, clocks beside the host's."""

import math

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.claims import load
from bench.judge import judge
from bench.judging.comparisons import RunSeries
from bench.judging.control import joined
from bench.judging.pairs import Series, collect
from bench.judging.positive import positive_rows
from bench.judging.rows import ONCE, Gate
from bench.model import ArmPlan, Metric, NotMeasured, Verdict
from tests.bench.judge_samples import ALL_ARMS, ARMS, SLOWED, find, image, samples
from tests.bench.looking import ARMS as PLANNED
from tests.bench.looking import plan

CLAIMS = load()
GATE = Gate(min_sessions=CLAIMS.min_sessions, smoke=False)
PRIMARY = list(next(claim.primary for claim in CLAIMS.claim if claim.id == "performance"))

# The A/A control


def test_the_control_comes_first_its_joint_row_before_all() -> None:
    rows = judge(samples(PRIMARY, ARMS), CLAIMS)
    assert (rows[0].claim, rows[0].metric, rows[0].verdict) == ("control.aa", "joint", "supported")
    assert [row.metric for row in rows[1 : 1 + len(PRIMARY)]] == sorted(PRIMARY)
    assert {row.arm for row in rows[: 1 + len(PRIMARY)]} == {"host-b"}


def test_a_failed_control_takes_every_verdict_back() -> None:
    frame = samples(PRIMARY, {**ARMS, "host-b": -0.03})
    rows = judge(frame, CLAIMS, image=image("sha256:a", "sha256:b"))
    assert rows[0].verdict == "refuted"
    told = ("control.aa", "check.clock")
    others = [row for row in rows if row.claim not in told and row.verdict != "not measured"]
    assert {row.verdict for row in others} == {"inconclusive"}
    assert all(row.reason.startswith("run invalid: A/A control failed (") for row in others)


def test_a_run_without_a_control_gives_no_verdict() -> None:
    rows = judge(samples(["cpu.integer"], {"host": 0.0, "runtime": 0.0}), CLAIMS)
    assert rows[0].verdict == "inconclusive"
    row = find(rows, "performance", "cpu.integer")
    assert row.verdict == "inconclusive"
    assert "no pairs of host-b against host" in row.reason


def test_metrics_that_are_only_shown_are_neither_judged_nor_part_of_the_control() -> None:
    shown = Metric(name="cpu.noise", unit="s", better="lower", role="info", definition="")
    frame = samples(["cpu.integer", "cpu.noise"], ARMS)
    rows = judge(frame, CLAIMS, msgspec.structs.replace(plan([]), metrics=(shown,)))
    assert "cpu.noise" not in {row.metric for row in rows}


# Two pairs of copies


def test_each_pair_of_copies_has_rows_of_its_own_under_one_joint_row() -> None:
    rows = [row for row in judge(samples(PRIMARY, ALL_ARMS), CLAIMS) if row.claim == "control.aa"]
    assert [(row.metric, row.verdict) for row in rows if row.metric == "joint"] == [("joint", "supported")]
    pairs = {(row.arm, row.baseline) for row in rows}
    assert pairs == {("host-b", "host"), ("runtime-b", "runtime")}
    assert len(rows) == 1 + 2 * len(PRIMARY)
    assert f"{2 * len(PRIMARY)} metrics of 2 pairs judged together" in rows[0].reason


def test_a_copy_of_the_runtime_that_differs_in_one_metric_fails_the_run_and_is_named_with_the_size() -> None:
    frame = samples(PRIMARY, ALL_ARMS, sessions=12, noise=0.002)
    frame.loc[(frame["metric"] == "cpu.crypto") & (frame["arm"] == "runtime-b"), "value"] *= 0.97
    rows = judge(frame, CLAIMS)
    assert rows[0].verdict == "refuted"
    assert "two copies of one arm differ: cpu.crypto of runtime-b by -3." in rows[0].reason
    assert find(rows, "control.aa", "cpu.crypto", "runtime-b").verdict == "refuted"
    assert find(rows, "control.aa", "cpu.crypto", "host-b").verdict == "supported"


def test_a_shift_common_to_all_metrics_of_one_pair_is_found_where_no_metric_alone_shows_it() -> None:
    effects = {**ALL_ARMS, "runtime-b": -0.012}
    rows = judge(samples([f"cpu.sim{n}" for n in range(30)], effects, sessions=8, noise=0.02), CLAIMS)
    assert rows[0].verdict == "refuted"
    assert "differ: a shift common to all metrics of runtime-b by -1." in rows[0].reason


def test_the_pairs_of_copies_are_the_plans() -> None:
    arms = (
        PLANNED[0],
        PLANNED[2],
        ArmPlan(name="twin", backend="runtime", kind="container", role="control", twin_of="runtime"),
    )
    frame = samples(PRIMARY, {"host": 0.0, "runtime": 0.0, "twin": -0.05})
    rows = judge(frame, CLAIMS, plan(PRIMARY, arms=arms, looks=None))
    assert (rows[0].arm, rows[0].baseline, rows[0].verdict) == ("twin", "runtime", "refuted")
    assert "twin" not in {row.arm for row in rows if row.claim == "performance"}


def test_a_pair_that_was_not_measured_is_reported_and_the_other_still_decides() -> None:
    gaps = [NotMeasured(arm="runtime-b", metric="", reason="it did not start")]
    rows = judge(samples(PRIMARY, ARMS), CLAIMS, plan(PRIMARY, looks=None), not_measured=gaps)
    assert rows[0].verdict == "supported"
    assert "no runtime-b beside runtime to compare" in rows[0].reason
    assert find(rows, "control.aa", "*", "runtime-b").reason == "it did not start"


def test_two_pairs_fail_by_chance_no_more_often_than_one_promises() -> None:
    rng = np.random.default_rng(5)
    failed, runs = 0, 400
    for _ in range(runs):
        luck = 0.01 * rng.standard_normal((2, 10, 6)) + 0.004 * rng.standard_normal((2, 1, 6))
        fit = {
            (f"m{metric}", f"{pair}-b", str(pair)): Series(
                clusters=np.arange(6), locations=luck[pair, metric], n_pairs=24
            )
            for pair in range(2)
            for metric in range(10)
        }
        failed += joined(fit, ()).p <= CLAIMS.control.alpha
    assert failed / runs <= 0.01 + 0.01


# Extra work that must be found


def test_the_extra_work_is_found_with_what_was_expected() -> None:
    rows = judge(samples(PRIMARY, ALL_ARMS, noise=0.002), CLAIMS)
    row = find(rows, "control.positive", "cpu.integer", "host-2pct")
    assert (row.verdict, row.baseline, row.margin) == ("supported", "host", 0.99)
    assert "the extra work was found; expected 0.980, found 0.9" in row.reason
    joint = find(rows, "control.positive", "joint", "host-2pct")
    assert joint.verdict == "supported"
    assert joint.estimate == pytest.approx(math.exp(SLOWED), abs=0.002)
    assert "host-2pct" not in {row.arm for row in rows if row.claim == "performance"}


def test_a_run_too_noisy_to_see_it_says_so_and_its_verdicts_stand() -> None:
    frame = samples(PRIMARY, {**ALL_ARMS, "runtime": -0.5, "runtime-b": -0.5}, noise=0.001)
    loud = frame["metric"].str.startswith("cpu.") & (frame["arm"] == "host-2pct")
    frame.loc[loud, "value"] *= np.exp(0.1 * np.random.default_rng(3).standard_normal(int(loud.sum())))
    rows = judge(frame, CLAIMS)
    joint = find(rows, "control.positive", "joint", "host-2pct")
    assert joint.verdict == "inconclusive"
    assert "this run lacked the power to see 2 % in cpu;" in joint.reason
    row = find(rows, "performance", "cpu.integer")
    assert row.verdict == "refuted"
    assert "the positive control lacked the power to see 2 % in cpu.integer" in row.reason
    assert "lacked the power" not in find(rows, "performance", "memory.latency").reason


def test_a_metric_the_positive_arm_lacks_is_reported_by_its_family() -> None:
    frame = samples(["cpu.integer", "cpu.syscall", "memory.latency"], ALL_ARMS, noise=0.03)
    frame = frame[(frame["arm"] != "host-2pct") | (frame["metric"] == "cpu.integer")]
    rows = judge(frame, CLAIMS)
    assert "lacked the power to see 2 % in cpu" in find(rows, "performance", "cpu.syscall").reason
    assert "lacked the power" not in find(rows, "performance", "memory.latency").reason


def test_extra_work_that_is_not_there_makes_the_run_invalid() -> None:
    rows = judge(samples(PRIMARY, {**ALL_ARMS, "host-2pct": 0.0}, noise=0.001), CLAIMS)
    joint = find(rows, "control.positive", "joint", "host-2pct")
    assert joint.verdict == "refuted"
    assert "2 % of extra work is not there in" in joint.reason
    performance = [row for row in rows if row.claim == "performance" and row.n_pairs]
    assert {row.verdict for row in performance} == {"inconclusive"}
    assert all(row.reason.startswith("run invalid: positive control failed (") for row in performance)


def test_in_a_smoke_run_the_positive_control_says_no_more_than_that_it_is_one() -> None:
    rows = judge(samples(PRIMARY, ALL_ARMS), CLAIMS, plan(PRIMARY, profile="smoke", looks=None))
    joint = find(rows, "control.positive", "joint", "host-2pct")
    assert joint.verdict == "inconclusive"
    assert joint.reason.startswith("the smoke profile never gives a verdict; found in 0 of")
    assert not any("lacked the power" in row.reason for row in rows)


def test_a_positive_arm_that_was_planned_and_gave_nothing_is_reported() -> None:
    rows = judge(samples(PRIMARY, ARMS), CLAIMS, plan(PRIMARY, looks=None))
    joint = find(rows, "control.positive", "joint", "host-2pct")
    assert joint.verdict == "inconclusive"
    assert joint.reason.startswith("no pairs of host-2pct against host")


def test_a_plan_without_a_positive_arm_has_no_rows_of_it() -> None:
    rows = judge(samples(PRIMARY, ALL_ARMS), CLAIMS, plan(PRIMARY, arms=PLANNED[:4], looks=None))
    assert "control.positive" not in {row.claim for row in rows}


@pytest.mark.slow
def test_work_that_is_just_on_the_margin_is_called_absent_in_no_more_than_one_run_of_a_hundred() -> None:
    failed, runs = 0, 150
    for seed in range(runs):
        effects = {"host": 0.0, "host-2pct": math.log(0.99)}
        frame = samples([f"cpu.sim{n}" for n in range(8)], effects, noise=0.005, luck=0.004, seed=seed)
        joint = positive_rows(CLAIMS.positive, RunSeries(collect(frame)), GATE, frozenset(), ONCE)[0]
        failed += joint.verdict == "refuted"
    assert failed / runs <= 0.01 + 0.02


# Clocks


def guest(rate: float) -> pd.DataFrame:
    """cpu.integer and a guest's clock: the guest reads its own time, which runs at `rate`."""
    arms = {**ALL_ARMS, "vm-kvm": 0.0}
    clock = samples(["check.clock_rate"], arms, unit="ratio", level=1.0, blocks=1, noise=0.0001)
    rates = samples(["cpu.integer"], arms, noise=0.001)
    clock.loc[clock["arm"] == "vm-kvm", "value"] *= rate
    rates.loc[rates["arm"] == "vm-kvm", "value"] /= rate
    return pd.concat([rates, clock], ignore_index=True)


def checks(frame: pd.DataFrame) -> dict[tuple[str, str], Verdict]:
    rows = judge(
        frame, CLAIMS, plan(["cpu.integer"], arms=(*PLANNED, VM), looks=None, info=("check.clock_rate",))
    )
    return {(row.arm, row.metric): row for row in rows if row.claim == "check.clock"}


VM = ArmPlan(name="vm-kvm", backend="vm", kind="vm", role="arm")


def test_a_guests_clock_that_is_right_agrees_and_so_do_the_tools() -> None:
    found = checks(guest(1.0))
    assert set(found) == {(arm, name) for arm in ("runtime", "vm-kvm") for name in ("check.clock_rate", "*")}
    assert {row.verdict for row in found.values()} == {"supported"}


@pytest.mark.parametrize(("rate", "off"), [(1.05, "-4.76 %"), (0.95, "+5.26 %")])
def test_a_guests_clock_that_is_wrong_shows_in_its_rate_and_in_the_tools_figures(
    rate: float, off: str
) -> None:
    found = checks(guest(rate))
    clock = found["vm-kvm", "check.clock_rate"]
    assert (clock.verdict, clock.baseline) == ("refuted", "")
    assert f"{100 * (rate - 1):+.2f} %" in clock.reason
    tool = found["vm-kvm", "cpu.integer.clock"]
    assert tool.verdict == "refuted"
    assert f"relative to host, is {off}" in tool.reason
    assert "differ: cpu.integer.clock" in found["vm-kvm", "*"].reason
    assert ("runtime", "cpu.integer.clock") not in found


def test_cpu_time_that_the_figure_does_not_show_is_reported() -> None:
    frame = samples(["cpu.integer"], ALL_ARMS, noise=0.001)
    frame["busy_s"] = frame["duration_ns"] / 1e9 * np.where(frame["arm"] == "runtime", 1.1, 1.0)
    found = {(row.arm, row.metric): row for row in judge(frame, CLAIMS) if row.claim == "check.clock"}
    assert ("runtime", "cpu.integer.clock") not in found
    assert found["runtime", "cpu.integer.cpu"].estimate == pytest.approx(1.1, rel=0.001)


def test_slices_whose_cpu_time_is_not_known_are_left_out() -> None:
    frame = samples(["cpu.integer"], ALL_ARMS, noise=0.001).assign(busy_s=None)
    found = [row for row in judge(frame, CLAIMS) if row.claim == "check.clock"]
    assert [(row.metric, row.verdict) for row in found] == [("*", "supported")]
    assert "1 of 1 comparison " in found[0].reason


@settings.get_profile("dear")
@given(st.floats(0.5, 2.0))
def test_a_check_decides_nothing(rate: float) -> None:
    def others(frame: pd.DataFrame) -> list[Verdict]:
        told = judge(frame, CLAIMS)
        return [row for row in told if row.claim != "check.clock" and row.arm != "vm-kvm"]

    assert others(guest(rate)) == others(guest(1.0))
