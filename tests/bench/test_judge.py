import math
import time

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from judge_samples import ARMS, samples

from bench.claims import load
from bench.judge import SamplesError, judge
from bench.model import ArmPlan, ImageInfo, Metric, NotMeasured, Plan, Verdict

CLAIMS = load()
PRIMARY = list(next(claim.primary for claim in CLAIMS.claim if claim.id == "performance"))


def find(rows: list[Verdict], claim: str, metric: str, backend: str = "runtime") -> Verdict:
    return next(row for row in rows if (row.claim, row.metric, row.backend) == (claim, metric, backend))


def plan(profile: str = "quick", metrics: tuple[Metric, ...] = ()) -> Plan:
    roles = {"host": "baseline", "host-b": "control"}
    arms = tuple(ArmPlan(name=name, backend="host", role=roles.get(name, "arm")) for name in ARMS)
    return Plan(
        profile=profile,
        seed=1,
        arms=arms,
        scenarios=(),
        metrics=metrics,
        sessions=6,
        steps=(),
        cpus=(0,),
        budget_s=1.0,
    )


def ratio(effect: float, **how: object) -> Verdict:
    frame = samples(["cpu.integer"], {**ARMS, "runtime": effect}, **how)
    return find(judge(frame, CLAIMS), "performance", "cpu.integer")


# The three states


@pytest.mark.parametrize(
    ("effect", "noise", "state"),
    [(0.0, 0.004, "supported"), (-0.03, 0.004, "refuted"), (-0.01, 0.02, "inconclusive")],
)
def test_a_ratio_has_three_states(effect: float, noise: float, state: str) -> None:
    row = ratio(effect, noise=noise)
    assert row.verdict == state
    assert row.low < row.estimate < row.high
    assert (row.margin, row.alpha, row.n_sessions, row.n_pairs) == (0.99, 0.05, 6, 24)


def test_where_lower_is_better_the_ratio_is_turned_into_performance() -> None:
    assert ratio(0.05, better="lower").estimate == pytest.approx(math.exp(-0.05), abs=0.004)
    assert ratio(0.05, better="higher").estimate == pytest.approx(math.exp(0.05), abs=0.004)


def test_an_open_verdict_says_how_much_more_would_settle_it() -> None:
    assert "sessions like these would settle it" in ratio(-0.004, noise=0.02).reason


@pytest.mark.parametrize(
    ("sessions", "blocks", "reason"),
    [(3, 9, "3 sessions, a verdict needs at least 4"), (4, 1, "4 pairs, a verdict needs")],
)
def test_too_little_data_gives_no_verdict(sessions: int, blocks: int, reason: str) -> None:
    row = ratio(0.2, sessions=sessions, blocks=blocks)
    assert row.verdict == "inconclusive"
    assert reason in row.reason


def test_smoke_never_gives_a_verdict() -> None:
    frame = samples(PRIMARY, ARMS)
    rows = judge(frame, CLAIMS, plan("smoke"), image=image("sha256:a", "sha256:a"))
    assert {row.verdict for row in rows if row.n_pairs} == {"inconclusive"}
    assert "the smoke profile never gives a verdict" in rows[0].reason


# What does not change a verdict


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.001, 1000.0))
def test_neither_order_nor_unit_of_the_rows_matters(seed: int, factor: float) -> None:
    frame = samples(["cpu.integer", "memory.bandwidth"], {**ARMS, "runtime": -0.02}, sessions=4, seed=2)
    mixed = frame.sample(frac=1.0, random_state=seed).assign(value=lambda rows: rows["value"] * factor)
    for one, other in zip(judge(frame, CLAIMS), judge(mixed, CLAIMS), strict=True):
        assert (one.claim, one.metric, one.verdict) == (other.claim, other.metric, other.verdict)
        assert (other.estimate or 0.0) == pytest.approx(one.estimate or 0.0, rel=1e-9)


@settings(max_examples=15, deadline=None)
@given(st.floats(-0.1, 0.1), st.integers(0, 1000))
def test_swapping_the_arms_inverts_the_ratio(effect: float, seed: int) -> None:
    frame = samples(["cpu.integer"], {**ARMS, "runtime": effect}, seed=seed)
    swapped = frame.assign(backend=frame["backend"].replace({"host": "runtime", "runtime": "host"}))
    one, other = (find(judge(f, CLAIMS), "performance", "cpu.integer") for f in (frame, swapped))
    assert other.estimate == pytest.approx(1 / one.estimate)
    assert (other.low, other.high) == pytest.approx((1 / one.high, 1 / one.low))


def test_columns_as_categories_are_read_like_words() -> None:
    frame = samples(PRIMARY, {**ARMS, "docker": -0.02})
    some = frame.astype({"metric": "category", "backend": "category"})
    some = some[(some["backend"] != "docker") & (some["metric"] != "cpu.crypto")]
    plain = frame.loc[some.index]
    assert judge(some, CLAIMS) == judge(plain, CLAIMS)


def test_an_outlier_stays_in_and_does_not_decide() -> None:
    frame = samples(["cpu.integer"], ARMS)
    hit = frame[(frame["backend"] == "runtime") & (frame["block"] == 0)].index[0]
    frame.loc[hit, "value"] /= 10
    row = find(judge(frame, CLAIMS), "performance", "cpu.integer")
    assert (row.verdict, row.n_pairs) == ("supported", 24)


def test_many_readings_of_one_visit_are_one_pair() -> None:
    frame = samples(["cpu.integer"], ARMS)
    row = find(judge(pd.concat([frame] * 20), CLAIMS), "performance", "cpu.integer")
    assert row.n_pairs == 24


# Values that cannot be used


def test_invalid_samples_leave_their_pairs_and_are_counted() -> None:
    frame = samples(["cpu.integer"], ARMS)
    mine = frame[frame["backend"] == "runtime"].index[:3]
    frame.loc[mine, ["valid", "reason"]] = [False, "steal 12 %"]
    row = find(judge(frame, CLAIMS), "performance", "cpu.integer")
    assert row.n_pairs == 21
    assert "3 invalid samples of runtime left out (steal 12 %)" in row.reason


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_none_are_left_out(value: float) -> None:
    frame = samples(["cpu.integer"], ARMS)
    frame.loc[frame[frame["backend"] == "host"].index[0], "value"] = value
    row = find(judge(frame, CLAIMS), "performance", "cpu.integer")
    assert row.n_pairs == 23
    assert "1 invalid sample of host left out (not a finite number)" in row.reason


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_values_without_a_logarithm_are_left_out_of_ratios(value: float) -> None:
    frame = samples(["cpu.integer"], ARMS)
    frame.loc[frame["backend"] == "runtime", "value"] = value
    row = find(judge(frame, CLAIMS), "performance", "cpu.integer")
    assert (row.verdict, row.estimate, row.n_pairs) == ("inconclusive", None, 0)
    assert "24 pairs of zero or below left out" in row.reason


def test_samples_without_a_column_are_refused() -> None:
    with pytest.raises(SamplesError, match="columns missing: better"):
        judge(samples(["cpu.integer"], ARMS).drop(columns="better"), CLAIMS)


def test_no_samples_give_reasons_and_no_verdict() -> None:
    rows = judge(samples([], ARMS), CLAIMS, plan())
    assert {row.verdict for row in rows} == {"inconclusive", "not measured"}
    assert all(row.reason for row in rows)


# The A/A control


def test_the_control_comes_first_its_joint_row_before_all() -> None:
    rows = judge(samples(PRIMARY, ARMS), CLAIMS)
    assert (rows[0].claim, rows[0].metric, rows[0].verdict) == ("control.aa", "joint", "supported")
    assert [row.metric for row in rows[1 : 1 + len(PRIMARY)]] == sorted(PRIMARY)
    assert {row.backend for row in rows[: 1 + len(PRIMARY)]} == {"host-b"}


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
    rows = judge(frame, CLAIMS, plan(metrics=(shown,)))
    assert "cpu.noise" not in {row.metric for row in rows}


# Several metrics, one claim


def test_all_primary_metrics_supported_support_the_claim() -> None:
    row = find(judge(samples(PRIMARY, ARMS, noise=0.002), CLAIMS), "performance", "*")
    assert row.verdict == "supported"
    assert row.low >= row.margin


def test_one_slow_metric_refutes_the_claim_and_is_named() -> None:
    frame = samples(PRIMARY, ARMS)
    slow = (frame["metric"] == "cpu.crypto") & (frame["backend"] == "runtime")
    frame.loc[slow, "value"] *= 0.9
    row = find(judge(frame, CLAIMS), "performance", "*")
    assert row.verdict == "refuted"
    assert "refuted by cpu.crypto" in row.reason
    assert row.estimate == pytest.approx(0.9, abs=0.01)
    assert row.high < row.margin


def test_a_missing_primary_metric_keeps_the_claim_open() -> None:
    row = find(judge(samples(PRIMARY[:-1], ARMS, noise=0.002), CLAIMS), "performance", "*")
    assert row.verdict == "inconclusive"
    assert f"not measured: {PRIMARY[-1]}" in row.reason


def test_a_stress_metric_gets_a_verdict_and_does_not_decide() -> None:
    frame = samples([*PRIMARY, "cpu.syscall"], ARMS, noise=0.002)
    frame.loc[(frame["metric"] == "cpu.syscall") & (frame["backend"] == "runtime"), "value"] *= 0.5
    rows = judge(frame, CLAIMS)
    assert find(rows, "performance", "cpu.syscall").verdict == "refuted"
    assert find(rows, "performance", "*").verdict == "supported"


# Thresholds


def starts(level: float, **how: object) -> list[Verdict]:
    frame = samples(
        ["startup.first_instruction", "startup.first_byte"],
        ARMS,
        unit="ns",
        better="lower",
        level=level,
        **how,
    )
    return judge(frame, CLAIMS)


def test_fast_starts_support_median_and_tail_in_the_claims_unit() -> None:
    rows = starts(2e6, sessions=8, blocks=60, noise=0.2)
    median = find(rows, "startup.median", "startup.first_instruction.p50")
    assert (median.verdict, median.baseline, median.margin) == ("supported", "", 1.0)
    assert median.estimate == pytest.approx(0.002, rel=0.1)
    assert find(rows, "startup.median", "*").verdict == "supported"
    assert find(rows, "startup.tail", "startup.first_instruction.p99").verdict == "supported"


def test_a_tail_of_few_starts_stays_open_and_says_how_many_it_needs() -> None:
    row = find(starts(2e6, noise=0.2), "startup.tail", "startup.first_instruction.p99")
    assert (row.verdict, row.high) == ("inconclusive", None)
    assert "an upper bound needs about 446 values" in row.reason


def test_slow_starts_refute_both() -> None:
    rows = starts(3e9)
    assert find(rows, "startup.median", "startup.first_instruction.p50").verdict == "refuted"
    assert find(rows, "startup.tail", "startup.first_instruction.p99").verdict == "refuted"


@pytest.mark.parametrize(("size", "state"), [(0.0, "supported"), (65536.0, "supported"), (5e6, "refuted")])
def test_bytes_of_an_extra_instance_may_be_zero_and_are_judged_as_they_are(size: float, state: str) -> None:
    frame = samples(["disk.extra_instance"], ARMS, unit="B", better="lower", level=size, blocks=1)
    frame = pd.concat([frame, samples(["cpu.integer"], ARMS)])
    row = find(judge(frame, CLAIMS), "disk.extra_instance", "disk.extra_instance")
    assert (row.verdict, row.margin) == (state, 2.0**20)
    assert row.estimate == pytest.approx(size, rel=0.02)


def test_a_unit_that_is_no_size_is_not_compared() -> None:
    frame = samples(["disk.extra_instance"], ARMS, unit="s", better="lower")
    row = find(judge(frame, CLAIMS), "disk.extra_instance", "disk.extra_instance")
    assert row.verdict == "inconclusive"
    assert "unit 's' cannot be compared with a margin in B" in row.reason


# Containers and virtual machines

VM_ARMS = {**ARMS, "vm-tcg": math.log(40.0)}


def test_memory_of_a_container_is_judged_against_the_vm_and_an_emulated_one_is_labelled() -> None:
    frame = samples(["memory.per_instance"], VM_ARMS, unit="B", better="lower", blocks=1)
    rows = judge(frame, CLAIMS)
    row = find(rows, "memory.vs_vm", "memory.per_instance")
    assert (row.baseline, row.verdict) == ("vm-tcg", "supported")
    assert row.estimate == pytest.approx(40.0, rel=0.02)
    assert "emulated CPU" in row.reason
    missing = [row for row in rows if row.claim == "memory.vs_vm" and row.baseline == "vm-kvm"]
    assert [row.verdict for row in missing] == ["not measured"]
    assert "no usable KVM" in missing[0].reason


def test_a_vm_under_kvm_carries_no_label_and_needs_no_stand_in() -> None:
    arms = {**ARMS, "vm-kvm": math.log(40.0)}
    rows = judge(samples(["memory.per_instance"], arms, unit="B", better="lower", blocks=1), CLAIMS)
    row = find(rows, "memory.vs_vm", "memory.per_instance")
    assert (row.baseline, row.verdict, row.reason) == ("vm-kvm", "supported", "")
    assert not [row for row in rows if row.baseline == "vm-tcg"]


def test_every_row_about_an_emulated_machine_is_labelled() -> None:
    rows = judge(samples(PRIMARY, {**ARMS, "vm-tcg": -1.0, "vm-tcg-untuned": -1.0}), CLAIMS)
    emulated = [row for row in rows if row.backend.startswith("vm-tcg") and row.n_pairs]
    assert len([row for row in emulated if row.claim == "performance"]) == 2 * (len(PRIMARY) + 1)
    assert all("excluded from claims about virtual machines" in row.reason for row in emulated)


# What was not measured


def test_what_the_measurement_could_not_do_is_listed_under_each_claim_that_misses_it() -> None:
    gaps = [
        NotMeasured(backend="docker", metric="", reason="docker is not installed"),
        NotMeasured(backend="runtime", metric="cpu.crypto", reason="openssl is missing"),
        NotMeasured(backend="runtime", metric="gpu.flops", reason="no such device"),
    ]
    rows = judge(samples(["cpu.integer"], ARMS), CLAIMS, not_measured=gaps)
    missing = [row for row in rows if row.verdict == "not measured"]
    docker = {row.claim for row in missing if row.backend == "docker"}
    assert {"startup.median", "performance", "disk.io", "memory.vs_vm"} <= docker
    assert find(missing, "performance", "cpu.crypto").reason == "openssl is missing"
    assert find(missing, "unclaimed", "gpu.flops").reason == "no such device"


def test_what_broke_half_way_keeps_its_row_and_tells_why() -> None:
    gaps = [NotMeasured(backend="runtime", metric="", reason="the daemon died")]
    rows = judge(samples(["cpu.integer"], ARMS), CLAIMS, not_measured=gaps)
    mine = [row for row in rows if row.claim == "performance" and row.backend == "runtime" and row.n_pairs]
    assert {row.metric for row in mine} == {"*", "cpu.integer"}
    assert all("not complete: the daemon died" in row.reason for row in mine)
    assert [row.metric for row in rows if row.claim == "startup.median" and row.backend == "runtime"] == ["*"]


def test_a_metric_that_only_failed_is_one_row_not_two() -> None:
    frame = samples(["cpu.integer", "cpu.float"], ARMS)
    frame.loc[(frame["metric"] == "cpu.float") & (frame["backend"] == "runtime"), "valid"] = False
    gaps = [NotMeasured(backend="runtime", metric="cpu.float", reason="exit status 1")]
    rows = judge(frame, CLAIMS, not_measured=gaps)
    found = [row for row in rows if (row.metric, row.backend) == ("cpu.float", "runtime")]
    assert [(row.verdict, row.reason) for row in found] == [("not measured", "exit status 1")]


def test_no_claim_is_without_a_row() -> None:
    rows = judge(samples(["cpu.integer"], ARMS), CLAIMS)
    assert {claim.id for claim in CLAIMS.claim} <= {row.claim for row in rows}


def test_a_claim_nobody_measures_yet_says_why() -> None:
    row = find(judge(samples(["cpu.integer"], ARMS), CLAIMS), "isolation", "*", "*")
    assert row.verdict == "not measured"
    assert "later family" in row.reason


def image(before: str, after: str) -> ImageInfo:
    return ImageInfo(reference="nn/bench", digest=before, layers=(), source="mmdebstrap", digest_after=after)


@pytest.mark.parametrize(
    ("after", "state"), [("sha256:a", "supported"), ("sha256:b", "refuted"), ("", "not measured")]
)
def test_the_image_is_immutable_by_its_digest(after: str, state: str) -> None:
    rows = judge(samples(["cpu.integer"], ARMS), CLAIMS, image=image("sha256:a", after))
    assert find(rows, "image.immutable", "image.digest", "*").verdict == state


# The whole


def test_rows_are_plain_json_and_alike_every_time() -> None:
    frame = samples(PRIMARY, VM_ARMS)
    one, other = (msgspec.json.encode(judge(frame, CLAIMS, plan())) for _ in range(2))
    assert one == other
    assert msgspec.json.decode(one, type=list[Verdict])


def test_on_the_margin_the_judge_supports_one_metric_in_twenty() -> None:
    frame = samples(
        [f"cpu.sim{n}" for n in range(600)], {**ARMS, "runtime": math.log(0.99)}, sessions=4, luck=0.01
    )
    states = [row.verdict for row in judge(frame, CLAIMS) if row.backend == "runtime" and row.n_pairs]
    assert len(states) == 600
    for state in ("supported", "refuted"):
        assert states.count(state) / 600 < 0.05 + 0.02


def test_a_hundred_thousand_samples_take_no_more_than_their_share() -> None:
    frame = samples([f"cpu.sim{n}" for n in range(1000)], VM_ARMS, sessions=5, blocks=5)
    small = samples([f"cpu.sim{n}" for n in range(100)], VM_ARMS, sessions=5, blocks=5)
    assert len(frame) == 100_000
    times = []
    for one in (small, frame):
        start = time.process_time()
        judge(one, CLAIMS)
        times.append(time.process_time() - start)
    assert times[1] < 25 * times[0]


def test_values_of_numpy_never_reach_the_rows() -> None:
    row = ratio(0.0)
    assert not isinstance(row.estimate, np.generic)
