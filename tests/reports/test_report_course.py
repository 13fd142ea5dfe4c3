"""What ended a run, how long each metric took, and how quiet the machine was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from bench import model, store
from reports import conditions, looks
from reports.figures import conditions as figure
from reports.load import Evidence
from reports.outliers import extremes
from reports.page import render
from tests.reports import synthetic
from tests.reports.test_report_verdicts import evidence_of, verdict


def course(evidence: Evidence, **run: Any) -> Evidence:
    return msgspec.structs.replace(evidence, run=synthetic.run(**run))


def all_closed(evidence: Evidence) -> tuple[model.Closed, ...]:
    pairs = evidence.samples[["scenario", "backend"]].drop_duplicates().itertuples(index=False, name=None)
    return tuple(model.Closed(scenario=str(s), arm=str(a), sessions=5) for s, a in pairs)


@pytest.mark.parametrize(
    ("closed", "more", "said"),
    [
        (True, {"sessions_run": 6}, "was decided, so the run ended after 6 sessions of at most 8"),
        (False, {"sessions_run": 7}, "The time budget was spent after 7 sessions of at most 8"),
        (False, {"sessions_run": 8}, "The last planned session ended the run: 8 sessions"),
        (False, {"status": "interrupted", "sessions_run": 2}, "interrupted after 2 sessions of at most 8"),
    ],
)  # fmt: skip
def test_what_ended_the_run_is_said(
    evidence: Evidence, closed: bool, more: dict[str, Any], said: str
) -> None:
    assert said in looks.ended(course(evidence, closed=all_closed(evidence) if closed else (), **more))


def test_the_runs_own_word_on_its_end_is_taken(evidence: Evidence) -> None:
    told = course(evidence, notes=("ended: interrupted", "note", "ended: the time budget of 60 s was spent"))

    assert looks.ended(told) == "The time budget of 60 s was spent."


def test_a_closed_scenario_says_after_how_many_sessions(evidence: Evidence) -> None:
    closed = (model.Closed(scenario="cpu", arm="runtime", sessions=5),)
    rows = (
        verdict("performance", "cpu.integer", "supported"),
        verdict("performance", "cpu.float", "inconclusive"),
        verdict("performance", "cpu.integer", "refuted", backend="crun"),
    )
    found = looks.courses(evidence_of(*rows, evidence=evidence, closed=closed))

    assert [(one.sessions, one.how) for one in found] == [
        (5, "at a look"),
        (5, "still open"),
        (6, "at the end"),
    ]


def test_controls_have_no_course(evidence: Evidence) -> None:
    assert {one.verdict.backend for one in looks.courses(evidence)} == set(evidence.systems)


def test_a_picture_a_system_with_the_planned_most(evidence: Evidence) -> None:
    section = looks.looks(evidence)

    assert section is not None
    assert [panel.id for panel in section.panels] == [f"looks-{arm}" for arm in evidence.systems]
    assert '"first look"' in section.panels[0].figure


def test_a_run_that_looked_only_at_its_end_has_no_such_section(evidence: Evidence) -> None:
    plan = msgspec.structs.replace(synthetic.run().plan, looks=None)

    assert looks.looks(course(evidence, plan=plan)) is None


def test_repeated_slices_are_counted_with_their_arms_and_their_time(evidence: Evidence) -> None:
    aside = evidence.samples["reason"].str.startswith(conditions.UNDER_PRESSURE)
    found = conditions.conditions(evidence)
    slices = conditions.slices(evidence.samples)

    assert found is not None
    assert f"{aside.sum()} slices of {len(slices):,} were taken under pressure" in found.sentence
    assert [panel.id for panel in found.panels] == ["noise", "frequency"]


def test_no_line_is_drawn_across_a_pause(evidence: Evidence) -> None:
    slices = conditions.slices(evidence.samples).head(40)
    paused = slices.assign(start_ns=slices["start_ns"] + 60 * 10**9 * (slices.index >= 20))
    whole, broken = (figure.noise(one).data[0].y for one in (slices, paused))

    assert not np.isnan(whole).any()
    assert list(np.flatnonzero(np.isnan(broken))) == [20]


def test_a_take_is_a_slice_of_its_own_and_readings_of_one_take_are_one(few: pd.DataFrame) -> None:
    one = few.iloc[[0]].assign(order=7, take=0, valid=False, reason="taken under pressure: steal 9 %")
    again = one.assign(take=1, valid=True, reason="", start_ns=one["start_ns"] + 10**9)
    found = conditions.slices(pd.concat([one, again, again.assign(metric="other")]))

    assert list(found["take"]) == [0, 1]
    assert list(found["aside"]) == [True, False]
    assert found["seconds"].sum() == pytest.approx(0.2)


def test_reasons_that_differ_only_in_numbers_are_one_kind(few: pd.DataFrame, evidence: Evidence) -> None:
    lost = few.iloc[:3].assign(valid=False, reason=["stall 0.31, 9 s", "stall 0.4, 8 s", ""])
    found = conditions.conditions(msgspec.structs.replace(evidence, samples=lost))

    assert found is not None
    assert found.invalid is not None
    assert [row[:2] for row in found.invalid.rows] == [("stall …, … s", "2"), ("no reason given", "1")]


def test_an_older_run_without_conditions_says_so(
    tmp_path: Path, few: pd.DataFrame, evidence: Evidence
) -> None:
    nothing = dict.fromkeys(("stall_share", "steal_share", "frequency_mhz", "switches", "busy_s"))
    found = conditions.conditions(msgspec.structs.replace(evidence, samples=few.assign(**nothing, take=0)))

    assert found is not None
    assert "recorded no conditions" in found.sentence
    assert found.panels == ()


def test_a_file_from_before_conditions_were_recorded_makes_a_page(tmp_path: Path, few: pd.DataFrame) -> None:
    where = synthetic.write(tmp_path / "run", samples=few, judged=[])
    newer = ["stall_share", "steal_share", "frequency_mhz", "switches", "busy_s", "take"]
    few.drop(columns=newer).to_parquet(where / store.SAMPLES, index=False)

    assert "recorded no conditions" in render(where).read_text()


def spoiled(few: pd.DataFrame, **conditions: float) -> pd.DataFrame:
    """One metric in which one visit of the runtime is a third slower, under these conditions."""
    rows = few[(few["metric"] == "cpu.integer") & few["valid"]].copy()
    rows[["stall_share", "steal_share", "frequency_mhz", "switches"]] = [0.01, 0.001, 2900.0, 100]
    hit = (rows["backend"] == "runtime") & (rows["session"] == 2) & (rows["block"] == 1)
    rows.loc[hit, "value"] *= 0.67
    for name, value in conditions.items():
        rows.loc[hit, name] = value
    return rows


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ({"steal_share": 0.12}, "12% steal in the slice of container (ours) (usual 0.1%)"),
        ({"stall_share": 0.4}, "40% CPU pressure in the slice of container (ours)"),
        ({"switches": 900}, "context switches/s in the slice of container (ours)"),
        ({"frequency_mhz": 1900.0}, "1,900 MHz in the slice of container (ours) (usual 2,900)"),
        ({}, "nothing recorded explains it"),
    ],
)  # fmt: skip
def test_an_extreme_pair_is_marked_with_its_likely_cause(
    few: pd.DataFrame, condition: dict[str, float], said: str
) -> None:
    found = extremes(spoiled(few, **condition), "host")

    assert [(row.backend, row.session, row.block) for row in found.itertuples()] == [("runtime", 2, 1)]
    assert "worse than its pairs usually are" in found["cause"].iloc[0]
    assert said in found["cause"].iloc[0]


def test_a_neighbour_that_hits_both_sides_of_a_pair_makes_no_extreme(few: pd.DataFrame) -> None:
    rows = spoiled(few)
    rows.loc[(rows["session"] == 2) & (rows["block"] == 1) & (rows["backend"] != "runtime"), "value"] *= 0.67

    assert extremes(rows, "host").empty


def test_without_a_baseline_or_a_value_nothing_is_extreme(few: pd.DataFrame) -> None:
    assert extremes(few[few["backend"] != "host"], "host").empty
    assert extremes(few.assign(value=0.0), "host").empty
