"""Which number answers which sentence, for the page and for the terminal."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from bench import claims, model
from bench.answers.sentences import Answer, Sentence, amount, between, bound, sentences
from tests.reports import synthetic
from tests.reports.made_verdicts import sped, started, verdict

CLAIMS = claims.load()


def found(*rows: model.Verdict, **run: Any) -> dict[str, Sentence]:
    answered = sentences(synthetic.run(**run), CLAIMS, rows)
    return {sentence.claim.id: sentence for sentence in answered}


def answer(claim: str, *rows: model.Verdict, arm: str = "runtime", **run: Any) -> Answer:
    of = found(*rows, **run)[claim].of(arm)
    assert of is not None
    return of


def only(*metrics: str) -> model.Plan:
    """The plan of a run that was asked for these metrics."""
    plan = synthetic.run().plan
    chosen = tuple(metric for metric in plan.metrics if metric.name in metrics)
    return msgspec.structs.replace(plan, metrics=chosen)


def test_every_sentence_of_the_file_is_there_with_a_short_name() -> None:
    assert list(found()) == [claim.id for claim in CLAIMS.claim]
    assert all(0 < len(claim.short) <= 40 for claim in CLAIMS.claim)


def test_the_deciding_metric_is_the_worst_and_has_its_own_interval() -> None:
    joint = verdict("performance", "*", "refuted", estimate=0.89, low=0.85, high=0.971)
    nat = verdict("performance", "network.cpu_per_gib.nat", "refuted", estimate=0.89, low=0.85, high=0.935)
    lower = verdict("performance", "memory.bandwidth", "inconclusive", estimate=0.7, low=0.4, high=1.2)
    row = answer("performance", joint, lower, nat).row

    assert row == nat
    assert between(CLAIMS.claim[3], row).replace("\u00a0", " ") == "85.0 to 93.5 %"


def test_a_start_is_the_slower_of_its_two_ends() -> None:
    byte = verdict("startup.median", "startup.first_byte.p50", "supported", baseline="", estimate=0.0102)
    row = answer("startup.median", *started("supported", 0.0009), byte).row

    assert row is not None
    assert row.metric == "startup.first_byte.p50"


def test_what_nobody_asked_for_leaves_an_answer_in_part() -> None:
    plan = only("cpu.integer", "memory.bandwidth")
    rows = (
        verdict("performance", "*", "inconclusive"),
        verdict("performance", "cpu.integer", "supported"),
        verdict("performance", "memory.bandwidth", "supported"),
        verdict("performance", "network.throughput.nat", "not measured", estimate=None),
    )
    found = answer("performance", *rows, plan=plan, not_measured=())

    assert (found.state, found.in_part, found.asked) == (
        "supported",
        True,
        ("cpu.integer", "memory.bandwidth"),
    )
    assert "network.throughput.nat" in found.left_out
    assert found.decided == len(found.rows) == 2


def test_what_was_asked_for_and_not_measured_leaves_it_open() -> None:
    gap = model.NotMeasured(arm="runtime", metric="memory.bandwidth", reason="no sysbench")
    rows = (
        verdict("performance", "*", "inconclusive"),
        verdict("performance", "cpu.integer", "supported"),
        verdict("performance", "memory.bandwidth", "not measured", estimate=None),
    )
    found = answer("performance", *rows, plan=only("cpu.integer"), not_measured=(gap,))

    assert (found.state, found.tally) == ("inconclusive", {"not measured": 1, "supported": 1})


@pytest.mark.parametrize("state", ["refuted", "inconclusive"])
def test_an_answer_in_part_is_never_better_than_its_metrics(state: model.State) -> None:
    rows = (
        verdict("performance", "*", state),
        verdict("performance", "cpu.integer", "supported"),
        verdict("performance", "cpu.float", state),
    )
    plan = only("cpu.integer", "cpu.float")

    assert answer("performance", *rows, plan=plan).state == state


def test_a_sentence_that_was_not_asked_is_not_a_sentence_that_was_not_measured() -> None:
    nothing = verdict("performance", "*", "not measured", estimate=None, notes=("no samples",))

    assert (
        answer("performance", nothing, plan=only("startup.first_byte"), not_measured=()).state == "not asked"
    )
    assert answer("performance", nothing, plan=only("cpu.integer"), not_measured=()).state == "not measured"


def test_a_comparison_with_a_vm_is_not_asked_where_no_vm_was() -> None:
    plan = synthetic.run().plan
    without = msgspec.structs.replace(plan, arms=tuple(arm for arm in plan.arms if arm.kind != "vm"))
    gap = model.NotMeasured(arm="vm", metric="", reason="no qemu")

    assert answer("start.vs_vm", plan=without, not_measured=()).state == "not asked"
    missing = answer("start.vs_vm", plan=without, not_measured=(gap,))
    assert (missing.state, missing.reason) == ("not measured", "no qemu")


def test_the_vm_that_could_not_be_had_is_no_gap_beside_the_one_that_was() -> None:
    rows = (
        verdict("start.vs_vm", "startup.first_instruction", "supported", baseline="vm-tcg", estimate=1600.0),
        verdict("start.vs_vm", "startup.first_instruction", "not measured", baseline="vm-kvm", estimate=None),
    )
    found = answer("start.vs_vm", *rows)

    assert (found.state, found.in_part, found.tally) == ("supported", False, {"supported": 1})


def test_metrics_that_stand_alone_are_counted() -> None:
    rows = (
        verdict("disk.io", "disk.seqread.layer", "supported"),
        verdict("disk.io", "disk.randread.layer", "refuted"),
    )
    found = answer("disk.io", *rows)

    assert (found.state, found.tally) == ("refuted", {"refuted": 1, "supported": 1})


def test_controls_and_the_baseline_answer_nothing() -> None:
    rows = [msgspec.structs.replace(row, arm=arm) for row in sped("supported") for arm in ("host-b", "host")]

    assert not {"host-b", "host"} & {one.arm for one in found(*rows)["performance"].answers}


@pytest.mark.parametrize(
    ("claim", "low", "high", "said"),
    [
        ("performance", 0.991, 1.004, "99.1 to 100.4 %"),
        ("startup.median", 0.0009, 0.0012, "900 µs to 1.20 ms"),
        ("startup.tail", 0.9, None, "at least 900 ms"),
        ("image.unchanged", 0.0, 0.0, ""),
        ("transfer", 1.01, 1.02, "1.01 to 1.02 times"),
    ],
)
def test_an_interval_says_its_unit_once(claim: str, low: float, high: float | None, said: str) -> None:
    asked = next(one for one in CLAIMS.claim if one.id == claim)
    row = verdict(claim, "x", "supported", estimate=low, low=low, high=high)

    assert between(asked, row).replace("\u00a0", " ") == said


def test_limits_are_round() -> None:
    limits = {claim.id: bound(claim).replace("\u00a0", " ") for claim in CLAIMS.claim}

    assert limits["performance"] == "at least 99 %"
    assert limits["startup.median"] == "at most 1 s"
    assert limits["start.vs_vm"] == "at least 10 times"
    assert limits["disk.extra_instance"] == "at most 1 MiB"
    assert limits["image.immutable"] == ""
    assert amount(None, None) == ""
