"""Claims over several metrics, thresholds, virtual machines, and what was not measured."""

import math

import pandas as pd
import pytest

from bench.claims import load
from bench.judge import judge
from bench.model import NotMeasured, Verdict
from tests.bench.judge_samples import ARMS, VM_ARMS, find, image, samples
from tests.bench.looking import planned

CLAIMS = load()
PRIMARY = list(next(claim.primary for claim in CLAIMS.claim if claim.id == "performance"))

# Several metrics, one claim


def test_all_primary_metrics_supported_support_the_claim() -> None:
    row = find(judge(samples(PRIMARY, ARMS, noise=0.002), CLAIMS), "performance", "*")
    assert row.verdict == "supported"
    assert row.low >= row.margin


def test_one_slow_metric_refutes_the_claim_and_is_named() -> None:
    frame = samples(PRIMARY, ARMS)
    slow = (frame["metric"] == "cpu.crypto") & (frame["arm"] == "runtime")
    frame.loc[slow, "value"] *= 0.9
    row = find(judge(frame, CLAIMS), "performance", "*")
    assert row.verdict == "refuted"
    assert "refuted by cpu.crypto" in row.reason
    assert row.estimate == pytest.approx(0.9, abs=0.01)
    assert row.high < row.margin


@pytest.mark.slow
def test_the_worst_of_many_noisy_metrics_of_an_equal_arm_is_seldom_refuted() -> None:
    """Noise of 5 % a pair tells nothing about 1 %; read one by one, every third run would refute a metric."""
    equal = {"host": 0.0, "host-b": 0.0, "runtime": 0.0}
    wrong, doubtful = 0, 0
    for seed in range(40):
        rows = judge(samples(PRIMARY, equal, noise=0.05, seed=seed), CLAIMS)
        own = [row for row in rows if row.claim == "performance" and row.arm == "runtime"]
        wrong += any(row.verdict == "refuted" for row in own)
        doubtful += any(f"not as the worst of {len(PRIMARY)} metrics" in row.reason for row in own)
    assert wrong <= 6  # of 40 at 5 %: more come by chance in one of 200 cases
    assert doubtful >= 4


def test_a_missing_primary_metric_keeps_the_claim_open() -> None:
    row = find(judge(samples(PRIMARY[:-1], ARMS, noise=0.002), CLAIMS), "performance", "*")
    assert row.verdict == "inconclusive"
    assert f"not measured: {PRIMARY[-1]}" in row.reason


def test_a_stress_metric_gets_a_verdict_and_does_not_decide() -> None:
    frame = samples([*PRIMARY, "cpu.syscall"], ARMS, noise=0.002)
    frame.loc[(frame["metric"] == "cpu.syscall") & (frame["arm"] == "runtime"), "value"] *= 0.5
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


def test_a_unit_that_is_not_a_size_is_not_compared() -> None:
    frame = samples(["disk.extra_instance"], ARMS, unit="s", better="lower")
    row = find(judge(frame, CLAIMS), "disk.extra_instance", "disk.extra_instance")
    assert row.verdict == "inconclusive"
    assert "unit 's' cannot be compared with a margin in B" in row.reason


# Containers and virtual machines


def test_memory_of_a_container_is_judged_against_the_vm_and_an_emulated_one_is_labelled() -> None:
    frame = samples(["memory.per_instance"], VM_ARMS, unit="B", better="lower", blocks=1)
    rows = judge(frame, CLAIMS, planned(frame))
    row = find(rows, "memory.vs_vm", "memory.per_instance")
    assert (row.baseline, row.verdict, row.emulated) == ("vm-tcg", "supported", True)
    assert row.estimate == pytest.approx(40.0, rel=0.02)
    missing = [row for row in rows if row.claim == "memory.vs_vm" and row.baseline == "vm-kvm"]
    assert [row.verdict for row in missing] == ["not measured"]
    assert "vm-kvm is not in this run" in missing[0].reason


def test_a_vm_under_kvm_carries_no_label_and_needs_no_stand_in() -> None:
    arms = {**ARMS, "vm-kvm": math.log(40.0)}
    frame = samples(["memory.per_instance"], arms, unit="B", better="lower", blocks=1)
    rows = judge(frame, CLAIMS, planned(frame))
    row = find(rows, "memory.vs_vm", "memory.per_instance")
    assert (row.baseline, row.verdict, row.emulated, row.notes) == ("vm-kvm", "supported", False, ())
    assert not [row for row in rows if row.baseline == "vm-tcg"]


def test_every_row_about_an_emulated_machine_is_labelled() -> None:
    frame = samples(PRIMARY, {**ARMS, "vm-tcg": -1.0, "vm-tcg-untuned": -1.0})
    rows = judge(frame, CLAIMS, planned(frame))
    emulated = [row for row in rows if row.arm in ("vm-tcg", "vm-tcg-untuned") and row.n_pairs]
    assert len([row for row in emulated if row.claim == "performance"]) == 2 * (len(PRIMARY) + 1)
    assert all(row.emulated and "not evidence about virtual machines" in row.reason for row in emulated)
    assert not any(row.emulated for row in rows if row.arm == "runtime" and row.baseline == "host")


# What was not measured


def test_what_the_measurement_could_not_do_is_listed_under_each_claim_that_misses_it() -> None:
    gaps = [
        NotMeasured(arm="docker", metric="", reason="docker is not installed"),
        NotMeasured(arm="runtime", metric="cpu.crypto", reason="openssl is missing"),
        NotMeasured(arm="runtime", metric="gpu.flops", reason="no such device"),
    ]
    rows = judge(samples(["cpu.integer"], ARMS), CLAIMS, not_measured=gaps)
    missing = [row for row in rows if row.verdict == "not measured"]
    docker = {row.claim for row in missing if row.arm == "docker"}
    assert {"startup.median", "performance", "disk.io", "memory.vs_vm"} <= docker
    assert find(missing, "performance", "cpu.crypto").reason == "openssl is missing"
    assert find(missing, "unclaimed", "gpu.flops").reason == "no such device"


def test_what_broke_half_way_keeps_its_row_and_says_why() -> None:
    gaps = [NotMeasured(arm="runtime", metric="", reason="the daemon died")]
    rows = judge(samples(["cpu.integer"], ARMS), CLAIMS, not_measured=gaps)
    mine = [row for row in rows if row.claim == "performance" and row.arm == "runtime" and row.n_pairs]
    assert {row.metric for row in mine} == {"*", "cpu.integer"}
    assert all("not complete: the daemon died" in row.reason for row in mine)
    assert [row.metric for row in rows if row.claim == "startup.median" and row.arm == "runtime"] == ["*"]


def test_a_metric_that_only_failed_is_one_row_not_two() -> None:
    frame = samples(["cpu.integer", "cpu.float"], ARMS)
    frame.loc[(frame["metric"] == "cpu.float") & (frame["arm"] == "runtime"), "valid"] = False
    gaps = [NotMeasured(arm="runtime", metric="cpu.float", reason="exit status 1")]
    rows = judge(frame, CLAIMS, not_measured=gaps)
    found = [row for row in rows if (row.metric, row.arm) == ("cpu.float", "runtime")]
    assert [(row.verdict, row.reason) for row in found] == [("not measured", "exit status 1")]


def test_no_claim_is_without_a_row() -> None:
    rows = judge(samples(["cpu.integer"], ARMS), CLAIMS)
    assert {claim.id for claim in CLAIMS.claim} <= {row.claim for row in rows}


def test_a_claim_nobody_measures_yet_says_why() -> None:
    row = find(judge(samples(["cpu.integer"], ARMS), CLAIMS), "isolation", "*", "*")
    assert row.verdict == "not measured"
    assert "later family" in row.reason


@pytest.mark.parametrize(
    ("after", "state"), [("sha256:a", "supported"), ("sha256:b", "refuted"), ("", "not measured")]
)
def test_the_image_is_immutable_by_its_digest(after: str, state: str) -> None:
    rows = judge(samples(["cpu.integer"], ARMS), CLAIMS, image=image("sha256:a", after))
    assert find(rows, "image.immutable", "image.digest", "*").verdict == state
