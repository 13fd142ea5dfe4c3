"""The comparison of two designs, on drawn numbers: its plans, its statistics, its picture."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.model import Plan
from bench.testing import FakeBackend, fake_image, fake_scenarios
from tests.studies import designs
from tests.studies.designs import A, B
from tests.studies.designs_picture import WIDTH

SCENARIOS = [one for one in fake_scenarios() if one.family in ("cpu", "memory")]


def plan(minutes: float = 3.0, seed: int = 5) -> Plan:
    return designs.design(SCENARIOS, minutes, seed, (0,))[0]


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.floats(0.5, 6.0))
@pytest.mark.slow
def test_both_designs_do_the_same_work_on_as_many_instances_of_each_side(seed: int, minutes: float) -> None:
    ours = plan(minutes, seed)
    theirs = designs.one_after_the_other(ours)

    def work(one: Plan) -> Counter[tuple[str, str]]:
        return Counter((step.arm, step.scenario) for step in one.steps)

    def instances(one: Plan) -> Counter[str]:
        return Counter(arm for arm, _ in {(step.arm, step.session) for step in one.steps})

    assert work(theirs) == work(ours)
    assert instances(theirs) == instances(ours) == {A: ours.sessions, B: ours.sessions}


def test_the_other_design_has_all_of_a_before_all_of_b_and_no_pairs() -> None:
    theirs = designs.one_after_the_other(plan())
    arms = [step.arm for step in theirs.steps]

    assert arms == sorted(arms, key=[A, B].index)
    assert [step.order for step in theirs.steps] == list(range(len(theirs.steps)))
    assert all(
        len({step.arm for step in theirs.steps if step.session == s}) == 1 for s in range(theirs.sessions)
    )


def test_each_round_does_the_same_number_of_slices_for_both() -> None:
    ours = plan()
    pieces = designs.rounds(ours, 1)
    others = designs.rounds(designs.one_after_the_other(ours), 2)

    assert len(pieces) == len(others) == ours.sessions
    for mine, other in zip(pieces, others, strict=True):
        assert Counter(step.scenario for step in mine.steps) == Counter(step.scenario for step in other.steps)


def test_intervals_are_those_of_a_worked_example() -> None:
    # Student's sleep data (1908), as R's help of t.test has them.
    drug_1 = np.array([0.7, -1.6, -0.2, -1.2, -0.1, 3.4, 3.7, 0.8, 0.0, 2.0])
    drug_2 = np.array([1.9, 0.8, 1.1, 0.1, -0.1, 4.4, 5.5, 1.6, 4.6, 3.4])
    ours, theirs = designs.paired(drug_2 - drug_1), designs.unpaired(drug_1, drug_2)

    assert (ours.estimate, ours.low, ours.high) == pytest.approx((1.58, 0.7001, 2.4599), abs=1e-4)
    assert (theirs.estimate, theirs.low, theirs.high) == pytest.approx((1.58, -0.2055, 3.3655), abs=1e-4)


def drawn(kind: str, drift: float, seed: int = 3) -> pd.DataFrame:
    """Host against host under a drift that all share: rounds of both designs over the same time."""
    rng = np.random.default_rng(seed)
    one = plan(4.0) if kind == designs.PAIRED else designs.one_after_the_other(plan(4.0))
    at = {step.order: place / len(one.steps) for place, step in enumerate(one.steps)}
    rows = [
        {
            "metric": step.scenario, "arm": step.arm, "session": step.session, "block": step.block,
            "valid": True, "value": float(np.exp(drift * np.sin(9 * at[step.order]) + rng.normal(0, 0.002))),
        }
        for step in one.steps
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_drift_widens_the_other_design_and_not_the_interleaved_one() -> None:
    rows = designs.rows(drawn(designs.PAIRED, 0.05), drawn(designs.APART, 0.05))

    assert {row.metric for row in rows} == {one.name for one in SCENARIOS}
    for row in rows:
        assert row.narrower > 3
        assert row.time_root == pytest.approx(row.narrower**2)
        assert row.time_cut is not None
        assert row.time_cut > 2


def test_without_drift_neither_is_much_narrower() -> None:
    rows = designs.rows(drawn(designs.PAIRED, 0.0), drawn(designs.APART, 0.0))

    assert all(0.4 < row.narrower < 2.5 for row in rows)


@pytest.mark.slow
def test_a_sample_that_does_not_count_is_left_out() -> None:
    spoiled = drawn(designs.PAIRED, 0.0)
    spoiled.loc[3, ["value", "valid"]] = [1e9, False]
    whole = designs.rows(drawn(designs.PAIRED, 0.0).drop(index=3), drawn(designs.APART, 0.0))

    assert designs.rows(spoiled, drawn(designs.APART, 0.0)) == whole


def test_cutting_stops_where_the_interval_is_no_longer_as_narrow() -> None:
    ratios = np.array([0.3, -0.3, 0.01, -0.01, 0.01, -0.01, 0.01, -0.01])

    assert designs.sessions_to(ratios, 10.0) == designs.FEWEST
    assert designs.sessions_to(ratios, designs.paired(ratios[:6]).width) == 6
    assert designs.sessions_to(ratios, 1e-9) is None


def test_the_picture_is_svg_with_both_intervals_of_every_metric() -> None:
    rows = designs.rows(drawn(designs.PAIRED, 0.4), drawn(designs.APART, 0.4))
    root = ElementTree.fromstring(designs.picture([designs.strips(row) for row in rows]))
    bars = [one for one in root.iter("{http://www.w3.org/2000/svg}line") if "bar" in one.get("class", "")]
    inside = [float(str(one.get(end))) for one in bars for end in ("x1", "x2")]

    assert len(bars) == 4 * len(rows)
    assert all(0 <= x <= WIDTH for x in inside)


@pytest.mark.slow
def test_a_whole_comparison_on_fakes(tmp_path: Path) -> None:
    one, profile = designs.design(SCENARIOS, 0.6, 1, (0,))
    host = FakeBackend("host")
    host.prepare(fake_image())
    stage = designs.setup.Stage(
        arms=one.arms, backends={"host": host}, infos=(), image=fake_image(), scratch=tmp_path / "scratch",
        registries=tmp_path / "registries",
        missing=[],
    )  # fmt: skip
    bench = designs.Bench(stage, profile, {s.name: s for s in SCENARIOS}, tmp_path)
    for number, piece in enumerate(designs.rounds(one, 1)):
        bench.round(designs.PAIRED, number, piece)
    for number, piece in enumerate(designs.rounds(designs.one_after_the_other(one), 2)):
        bench.round(designs.APART, number, piece)
    ours, theirs = bench.samples(designs.PAIRED), bench.samples(designs.APART)

    assert ours["valid"].sum() == theirs["valid"].sum() == len(one.steps)
    assert set(ours["session"]) == set(range(one.sessions))
    assert set(theirs.loc[theirs["arm"] == B, "session"]) == set(range(one.sessions, 2 * one.sessions))
    found = designs.Comparison(
        started="now", rounds=one.sessions, seconds=bench.seconds, rows=designs.rows(ours, theirs)
    )
    assert msgspec.json.decode(msgspec.json.encode(found), type=designs.Comparison) == found
    assert designs.markdown(found).count("\n| ") == 1 + len(found.rows)
