from __future__ import annotations

from pathlib import Path

import msgspec
import pandas as pd
import pytest

from bench import model
from reports import headline
from reports.controls import controls
from reports.load import Evidence, load
from reports.page import build
from tests.reports import synthetic
from tests.reports.made_verdicts import evidence_of, sped, verdict


def aa(metric: str, state: model.State, ratio: float = 1.0, arm: str = "runtime") -> model.Verdict:
    return verdict(
        "control.aa",
        metric,
        state,
        arm=f"{arm}-b",
        baseline=arm,
        estimate=ratio,
        low=ratio - 0.002,
        high=ratio + 0.002,
    )


def extra(metric: str, state: model.State, ratio: float = 0.98) -> model.Verdict:
    return verdict(
        "control.positive",
        metric,
        state,
        arm="host-2pct",
        estimate=ratio,
        low=ratio - 0.003,
        high=ratio + 0.003,
        notes=("because",),
    )


PASSED = verdict("control.aa", "joint", "supported", arm="host-b")


@pytest.fixture(scope="module")
def small(few: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    """A run of few metrics, of which a page is made quickly."""
    return load(synthetic.write(tmp_path_factory.mktemp("few") / "run", samples=few))


def said(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_a_failed_negative_control_names_the_pair_the_metric_and_by_how_much(evidence: Evidence) -> None:
    joint = verdict("control.aa", "joint", "refuted", arm="host-b", notes=("p = 0.0001",))
    rows = (joint, aa("cpu.integer", "refuted", 0.971), aa("cpu.float", "supported"))
    spoiled = evidence_of(*rows, *sped("supported"), evidence=evidence)
    found = controls(spoiled)

    assert found.negative.word == "failed"
    assert len(found.negative.faults) == 1
    for part in (
        "RUN INVALID",
        "negative control",
        "container again (A/A) beside container (ours)",
        "97.1 %",
    ):
        assert part in said(headline.banner(spoiled).sentence)


def test_a_bias_common_to_all_metrics_is_said_by_its_size(evidence: Evidence) -> None:
    joint = verdict("control.aa", "joint", "refuted", arm="host-b", estimate=0.985)
    found = headline.banner(evidence_of(joint, aa("cpu.integer", "supported"), evidence=evidence))

    assert "all metrics together: 98.5 %" in said(found.sentence)


def test_a_failed_positive_control_makes_the_run_invalid(evidence: Evidence) -> None:
    rows = (PASSED, extra("joint", "refuted"), extra("memory.bandwidth", "refuted", 1.001))
    spoiled = evidence_of(*rows, *sped("supported"), evidence=evidence)
    head = headline.banner(spoiled)

    assert head.state == "refuted"
    assert "positive control failed: memory bandwidth: 100.1 %" in said(head.sentence)
    assert "where 98.0 % was expected" in said(head.sentence)
    assert head.matrix is None


@pytest.mark.parametrize(
    ("state", "word"), [("supported", "found"), ("inconclusive", "too weak"), ("refuted", "failed")]
)
def test_each_family_says_what_was_seen_of_the_extra_work(
    evidence: Evidence, state: model.State, word: str
) -> None:
    rows = (PASSED, extra("joint", state), extra("cpu.integer", state), extra("memory.bandwidth", state))
    found = controls(evidence_of(*rows, evidence=evidence)).positive

    assert found is not None
    assert found.word == word
    assert [line.partition(":")[0] for line in found.groups] == ["CPU", "memory"]
    assert f"{word} in 1 of 1 metric; expected 98.0 %" in said(found.groups[0])


def test_lacking_power_does_not_make_a_run_invalid(evidence: Evidence) -> None:
    rows = (PASSED, extra("joint", "inconclusive"))

    assert "RUN INVALID" not in headline.banner(evidence_of(*rows, evidence=evidence)).sentence


def test_a_run_without_extra_work_has_no_such_control(evidence: Evidence) -> None:
    plan = synthetic.run().plan
    plain = tuple(arm for arm in plan.arms if arm.role != "positive")
    older = evidence_of(PASSED, evidence=evidence, plan=msgspec.structs.replace(plan, arms=plain))

    assert controls(older).positive is None


@pytest.mark.parametrize(("ratio", "word"), [(1.0004, "agree"), (1.013, "disagree"), (0.98, "disagree")])
def test_a_clock_that_is_off_by_more_than_a_per_cent_is_shown(
    evidence: Evidence, ratio: float, word: str
) -> None:
    row = verdict("check.clock", "cpu.integer", "supported", estimate=ratio, low=ratio, high=ratio)
    found = controls(evidence_of(PASSED, row, evidence=evidence)).clock

    assert found is not None
    assert found.word == word
    assert found.table is not None
    assert found.table.rows[0][2] == f"{ratio:.4f}"
    if word == "disagree":
        assert said(found.sentence) == "1 figure off the host's own by more than 1 %, of container (ours)."


def test_the_widest_figure_of_a_system_is_not_a_disagreement_while_it_may_be_noise(
    evidence: Evidence,
) -> None:
    row = verdict("check.clock", "*", "inconclusive", estimate=1.03, low=0.97, high=1.09)
    found = controls(evidence_of(PASSED, row, evidence=evidence)).clock

    assert found is not None
    assert found.word == "not decided"
    assert found.table is not None
    assert found.table.rows[0][4] == "cannot tell"


@pytest.mark.slow
def test_the_page_of_an_invalid_run_says_so_at_its_head_and_shows_all_controls(
    small: Evidence, tmp_path: Path
) -> None:
    joint = verdict("control.aa", "joint", "refuted", arm="host-b")
    clock = verdict("check.clock", "cpu.integer", "supported", estimate=1.02)
    rows = (joint, aa("cpu.integer", "refuted", 0.9), extra("joint", "inconclusive"), clock)
    page = build(evidence_of(*rows, evidence=small), tmp_path / "report.html")
    head = page.partition("<h1>")[2].partition("</h1>")[0]

    assert head.startswith("RUN INVALID: the negative control failed")
    assert 'class="banner refuted"' in page
    for part in ("too weak", "disagree", "Whose clock", "changes no"):
        assert part in page


def test_the_head_says_what_the_controls_could_see(evidence: Evidence) -> None:
    found = (extra("cpu.integer", "supported"), extra("cpu.float", "inconclusive"))
    rows = (PASSED, aa("cpu.float", "inconclusive"), extra("joint", "inconclusive"), *found)
    limits = headline.banner(evidence_of(*rows, evidence=evidence)).limits

    assert [state for state, _ in limits] == ["supported", "inconclusive"]
    assert "no difference as the worst of 1 metric" in limits[0][1]
    assert said(limits[1][1]).startswith("2 % of extra work was found in 1 of 2 metrics; where it was not")


def test_only_what_the_control_tests_is_counted(evidence: Evidence) -> None:
    short = verdict("control.aa", "cpu.float", "inconclusive", arm="host-b", n_sessions=2)
    rows = (PASSED, aa("cpu.integer", "inconclusive"), short)
    sentence = controls(evidence_of(*rows, evidence=evidence)).negative.sentence

    assert "no difference as the worst of 1 metric" in sentence


@pytest.mark.slow
def test_controls_are_in_no_table_of_systems(small: Evidence, tmp_path: Path) -> None:
    page = build(small, tmp_path / "report.html")
    claims = page.partition('<section id="claims">')[2].partition("</section>")[0]

    assert "container (ours)" in claims
    assert "host once more" in claims
    for twin in ("host again", "container again", "2 % more work"):
        assert twin not in claims
