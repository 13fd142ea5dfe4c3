"""What ended a run, how long each metric took, and how quiet the machine was."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from bench import model, store
from bench.answers import course as course_of
from bench.judge import judge
from reports import conditions, looks, verdicts
from reports.arms import Legend
from reports.figures import conditions as figure
from reports.load import Evidence
from reports.outliers import extremes
from reports.page import render
from tests.reports import synthetic
from tests.reports.made_verdicts import evidence_of, verdict

LEGEND = Legend(synthetic.run().plan.arms)


def course(evidence: Evidence, **run: Any) -> Evidence:
    return msgspec.structs.replace(evidence, run=synthetic.run(**run))


def all_closed(evidence: Evidence) -> tuple[model.Closed, ...]:
    pairs = evidence.samples[["scenario", "arm"]].drop_duplicates().itertuples(index=False, name=None)
    return tuple(model.Closed(scenario=str(s), arm=str(a), sessions=5) for s, a in pairs)


@pytest.mark.parametrize(
    ("closed", "end", "said"),
    [
        (True, ("decided", 6), "Everything that decides a claim was decided after session 6 of"),
        (False, ("budget", 4), "The time budget was spent after session 4 of at most 6; "),
        (False, ("nothing left", 5), "could still be measured or was within reach after session 5 of"),
        (False, ("last session", 6), "The last session of the plan was measured after session 6 of"),
        (False, ("interrupted", 2), "The run was interrupted after session 2 of at most 6"),
        (False, (None, None), "The run ended after session 6 of at most 6"),
    ],
)  # fmt: skip
def test_what_ended_the_run_is_said(
    evidence: Evidence, closed: bool, end: tuple[model.EndedBecause | None, int | None], said: str
) -> None:
    pairs = all_closed(evidence) if closed else ()

    assert said in looks.ended(course(evidence, closed=pairs, ended_because=end[0], sessions_run=end[1]))


def test_all_counts_are_of_deciding_metrics(evidence: Evidence) -> None:
    answers = [one for sentence in evidence.sentences for one in sentence.answers if one.measured]
    decided, all_ = sum(one.decided for one in answers), sum(sum(one.tally.values()) for one in answers)

    assert f"; {decided} of {all_} deciding metrics" in looks.ended(evidence)


def test_a_closed_scenario_says_after_how_many_sessions(evidence: Evidence) -> None:
    closed = (model.Closed(scenario="cpu", arm="runtime", sessions=5),)
    rows = (
        verdict("performance", "cpu.integer", "supported"),
        verdict("performance", "cpu.float", "inconclusive"),
        verdict("performance", "cpu.integer", "refuted", arm="crun"),
    )
    found = looks.courses(evidence_of(*rows, evidence=evidence, closed=closed))

    assert [(one.sessions, one.how) for one in found] == [
        (5, "at a look"),
        (5, "still open"),
        (6, "at the end"),
    ]


def test_what_was_given_up_is_out_of_reach_with_the_minutes(evidence: Evidence) -> None:
    rows = (
        verdict("performance", "memory.latency", "inconclusive", out_of_reach=True, minutes=20.6),
        verdict("performance", "cpu.float", "inconclusive", notes=("still open after 6 of 6 sessions",)),
    )
    made = evidence_of(*rows, evidence=evidence)
    views = {view.id: view for view in verdicts.claim_views(made)}
    reasons = {row.metric: row.reason for row in views["performance"].opinions[0].rows}

    assert [one.how for one in looks.courses(made)] == ["out of reach", "still open"]
    assert looks.ended(made).endswith(", 1 given up as out of reach.")
    assert reasons["memory.latency"] == "out of reach here: about 21\u00a0min of measuring it alone"
    assert reasons["cpu.float"] == "still open after 6 of 6 sessions"


def test_a_row_says_that_copies_count_in_its_pairs(evidence: Evidence) -> None:
    rows = (
        verdict("performance", "cpu.float", "supported", pairing="copies"),
        verdict("performance", "cpu.integer", "supported", pairing="single"),
    )
    views = {view.id: view for view in verdicts.claim_views(evidence_of(*rows, evidence=evidence))}
    found = {row.metric: row.evidence for row in views["performance"].opinions[0].rows}

    assert found["cpu.float"] == "36 pairs in 6 sessions, copies counted"
    assert found["cpu.integer"] == "36 pairs in 6 sessions"


def test_controls_have_no_course(evidence: Evidence) -> None:
    assert {one.verdict.arm for one in looks.courses(evidence)} == set(evidence.systems)


def test_what_is_open_of_the_headlines_system_is_drawn_over_the_sessions(evidence: Evidence) -> None:
    section = looks.looks(evidence)

    assert section is not None
    assert section.panel is not None
    assert section.panel.title == "container (ours): how what is open narrowed"
    drawn = json.loads(section.panel.figure)["data"]
    assert 0 < len(drawn) <= looks.MOST_LINES
    assert all(list(line["x"]) == [2, 3, 4, 5, 6] for line in drawn)
    assert {row[0] for row in section.table.rows} == {evidence.legend.label(arm) for arm in evidence.systems}


def test_a_width_is_that_of_the_judges_interval(evidence: Evidence) -> None:
    widths = course_of.widths(evidence.samples, "host", {})
    row = next(one for one in evidence.verdicts if one.metric == "cpu.syscall" and one.arm == "runtime")
    sessions, half = widths["cpu.syscall", "runtime"][-1]

    assert sessions == row.n_sessions
    assert row.low is not None
    assert row.high is not None
    assert 0 < half <= (row.high - row.low) / 2  # a look's bound is stricter than a single one's


def test_copies_that_count_in_the_pairs_count_in_the_width(evidence: Evidence) -> None:
    plan = msgspec.structs.replace(synthetic.run().plan, pairing="copies")
    rows = judge(evidence.samples, evidence.claims, plan, sessions_run=6)
    row = next(one for one in rows if (one.metric, one.arm) == ("cpu.syscall", "runtime"))
    single, both = (
        course_of.widths(evidence.samples, "host", copies)["cpu.syscall", "runtime"][-1][1]
        for copies in ({}, plan.counted)
    )

    assert row.pairing == "copies"
    assert row.low is not None
    assert row.high is not None
    assert both != single
    assert 0 < both <= (row.high - row.low) / 2


def test_a_clock_that_stands_still_is_no_picture(evidence: Evidence) -> None:
    still = evidence.samples.assign(frequency_mhz=2900)
    found = conditions.conditions(msgspec.structs.replace(evidence, samples=still))

    assert found is not None
    assert [panel.id for panel in found.panels] == ["noise"]


def test_a_run_that_looked_only_at_its_end_has_no_such_section(evidence: Evidence) -> None:
    plan = msgspec.structs.replace(synthetic.run().plan, looks=None)

    assert looks.looks(course(evidence, plan=plan)) is None


def test_repeated_slices_are_counted_with_their_arms_and_their_time(evidence: Evidence) -> None:
    aside = evidence.samples["set_aside"] == "pressure"
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
    one = few.iloc[[0]].assign(order=7, take=0, valid=False, set_aside="pressure", reason="steal 9 %")
    again = one.assign(take=1, valid=True, set_aside="", reason="", start_ns=one["start_ns"] + 10**9)
    found = conditions.slices(pd.concat([one, again, again.assign(metric="other")]))

    assert list(found["take"]) == [0, 1]
    assert list(found["aside"]) == [True, False]
    assert found["seconds"].sum() == pytest.approx(0.2)


def test_slices_that_were_repeated_count_as_one_reason(few: pd.DataFrame, evidence: Evidence) -> None:
    kinds, reasons = ["pressure", "pressure", "failed"], ["stall 0.31, 9 s", "stall 0.4, 8 s", ""]
    lost = few.iloc[:3].assign(valid=False, set_aside=kinds, reason=reasons)
    found = conditions.conditions(msgspec.structs.replace(evidence, samples=lost))

    assert found is not None
    assert found.invalid is not None
    assert [row[:2] for row in found.invalid.rows] == [
        ("taken under pressure and repeated", "2"),
        ("no reason given", "1"),
    ]


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
    newer = ["set_aside", "stall_share", "steal_share", "frequency_mhz", "switches", "busy_s", "take"]
    older = few.drop(columns=newer).rename(columns={"arm": "backend"})
    older.to_parquet(where / store.SAMPLES, index=False)

    assert "recorded no conditions" in render(where).read_text()


def spoiled(few: pd.DataFrame, **conditions: float) -> pd.DataFrame:
    """One metric in which one visit of the runtime is a third slower, under these conditions."""
    rows = few[(few["metric"] == "cpu.integer") & few["valid"]].copy()
    rows[["stall_share", "steal_share", "frequency_mhz", "switches"]] = [0.01, 0.001, 2900.0, 100]
    hit = (rows["arm"] == "runtime") & (rows["session"] == 2) & (rows["block"] == 1)
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
    found = extremes(spoiled(few, **condition), "host", LEGEND)

    assert [(row.arm, row.session, row.block) for row in found.itertuples()] == [("runtime", 2, 1)]
    moved, *causes = found["cause"].iloc[0]
    assert "worse than its pairs usually are" in moved
    assert any(said in cause for cause in causes)


def test_a_neighbour_that_hits_both_sides_of_a_pair_makes_no_extreme(few: pd.DataFrame) -> None:
    rows = spoiled(few)
    rows.loc[(rows["session"] == 2) & (rows["block"] == 1) & (rows["arm"] != "runtime"), "value"] *= 0.67

    assert extremes(rows, "host", LEGEND).empty


def test_without_a_baseline_or_a_value_nothing_is_extreme(few: pd.DataFrame) -> None:
    assert extremes(few[few["arm"] != "host"], "host", LEGEND).empty
    assert extremes(few.assign(value=0.0), "host", LEGEND).empty
