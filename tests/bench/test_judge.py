"""The judge on ratios: three states, what changes nothing, what cannot be used, and the cost of it all."""

import math
import re

import msgspec
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.claims import load
from bench.judge import SamplesError, judge
from bench.model import Verdict
from tests.bench.judge_samples import ARMS, VM_ARMS, find, image, samples
from tests.bench.looking import plan

CLAIMS = load()
PRIMARY = list(next(claim.primary for claim in CLAIMS.claim if claim.id == "performance"))


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
    assert re.search(r"about \d+ more sessions like these would settle it", ratio(-0.004, noise=0.015).reason)
    assert "not in sight: no profile has as many sessions" in ratio(-0.004, noise=0.02).reason


def test_too_few_sessions_give_no_verdict_however_many_pairs_they_have() -> None:
    row = ratio(0.2, sessions=3, blocks=9)
    assert row.verdict == "inconclusive"
    assert "3 sessions, a verdict needs at least 4" in row.reason
    assert ratio(0.2, sessions=4, blocks=1).verdict == "supported"


def test_smoke_never_gives_a_verdict() -> None:
    frame = samples(PRIMARY, ARMS)
    rows = judge(
        frame, CLAIMS, plan(PRIMARY, profile="smoke", looks=None), image=image("sha256:a", "sha256:a")
    )
    assert {row.verdict for row in rows if row.n_pairs} == {"inconclusive"}
    assert "the smoke profile never gives a verdict" in rows[0].reason


# What does not change a verdict


@settings.get_profile("dear")
@given(st.integers(0, 10**6), st.floats(0.001, 1000.0))
def test_neither_order_nor_unit_of_the_rows_matters(seed: int, factor: float) -> None:
    frame = samples(["cpu.integer", "memory.bandwidth"], {**ARMS, "runtime": -0.02}, sessions=4, seed=2)
    mixed = frame.sample(frac=1.0, random_state=seed).assign(value=lambda rows: rows["value"] * factor)
    for one, other in zip(judge(frame, CLAIMS), judge(mixed, CLAIMS), strict=True):
        assert (one.claim, one.metric, one.verdict) == (other.claim, other.metric, other.verdict)
        assert (other.estimate or 0.0) == pytest.approx(one.estimate or 0.0, rel=1e-9)


@settings.get_profile("dear")
@given(st.floats(-0.1, 0.1), st.integers(0, 1000))
def test_swapping_the_arms_inverts_the_ratio(effect: float, seed: int) -> None:
    frame = samples(["cpu.integer"], {**ARMS, "runtime": effect}, seed=seed)
    swapped = frame.assign(arm=frame["arm"].replace({"host": "runtime", "runtime": "host"}))
    one, other = (find(judge(f, CLAIMS), "performance", "cpu.integer") for f in (frame, swapped))
    assert other.estimate == pytest.approx(1 / one.estimate)
    assert (other.low, other.high) == pytest.approx((1 / one.high, 1 / one.low))


def test_columns_as_categories_are_read_like_words() -> None:
    frame = samples(PRIMARY, {**ARMS, "docker": -0.02})
    some = frame.astype({"metric": "category", "arm": "category"})
    some = some[(some["arm"] != "docker") & (some["metric"] != "cpu.crypto")]
    plain = frame.loc[some.index]
    assert judge(some, CLAIMS) == judge(plain, CLAIMS)


def test_an_outlier_stays_in_and_does_not_decide() -> None:
    frame = samples(["cpu.integer"], ARMS)
    hit = frame[(frame["arm"] == "runtime") & (frame["block"] == 0)].index[0]
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
    mine = frame[frame["arm"] == "runtime"].index[:3]
    frame.loc[mine, ["valid", "reason"]] = [False, "steal 12 %"]
    row = find(judge(frame, CLAIMS), "performance", "cpu.integer")
    assert row.n_pairs == 21
    assert "3 invalid samples of runtime left out (steal 12 %)" in row.reason


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_numbers_that_are_none_are_left_out(value: float) -> None:
    frame = samples(["cpu.integer"], ARMS)
    frame.loc[frame[frame["arm"] == "host"].index[0], "value"] = value
    row = find(judge(frame, CLAIMS), "performance", "cpu.integer")
    assert row.n_pairs == 23
    assert "1 invalid sample of host left out (not a finite number)" in row.reason


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_values_without_a_logarithm_are_left_out_of_ratios(value: float) -> None:
    frame = samples(["cpu.integer"], ARMS)
    frame.loc[frame["arm"] == "runtime", "value"] = value
    row = find(judge(frame, CLAIMS), "performance", "cpu.integer")
    assert (row.verdict, row.estimate, row.n_pairs) == ("inconclusive", None, 0)
    assert "24 pairs of zero or below left out" in row.reason


def test_samples_without_a_column_are_refused() -> None:
    with pytest.raises(SamplesError, match=r"\bbetter\b"):
        judge(samples(["cpu.integer"], ARMS).drop(columns="better"), CLAIMS)


def test_no_samples_give_reasons_and_no_verdict() -> None:
    rows = judge(samples([], ARMS), CLAIMS, plan([], looks=None))
    assert {row.verdict for row in rows} == {"inconclusive", "not measured"}
    assert all(row.reason for row in rows)


# The whole


def test_rows_are_plain_json_and_alike_every_time() -> None:
    frame = samples(PRIMARY, VM_ARMS)
    one, other = (msgspec.json.encode(judge(frame, CLAIMS, plan(PRIMARY))) for _ in range(2))
    assert one == other
    assert msgspec.json.decode(one, type=list[Verdict])


def test_on_the_margin_the_judge_supports_one_metric_in_twenty() -> None:
    frame = samples(
        [f"cpu.sim{n}" for n in range(600)], {**ARMS, "runtime": math.log(0.99)}, sessions=4, luck=0.01
    )
    states = [row.verdict for row in judge(frame, CLAIMS) if row.arm == "runtime" and row.n_pairs]
    assert len(states) == 600
    for state in ("supported", "refuted"):
        assert states.count(state) / 600 < 0.05 + 0.02


def wide(metrics: int) -> pd.DataFrame:
    """Many metrics of every kind of claim, some of their samples lost, most of them near a margin."""
    rates = samples([f"cpu.sim{n}" for n in range(metrics)], {**VM_ARMS, "runtime": -0.01}, noise=0.02)
    stems = [f"startup.first_instruction.paced{n}" for n in range(metrics)]
    starts = samples(stems, VM_ARMS, unit="ns", better="lower", level=1e9, noise=0.2)
    frame = pd.concat([rates, starts], ignore_index=True)
    frame.loc[frame.index % 7 == 0, ["valid", "reason"]] = [False, "steal"]
    return frame


def test_the_samples_are_gone_through_as_often_for_many_metrics_as_for_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paced = [
        msgspec.structs.replace(claim, stress=("startup.first_instruction.paced*",))
        if claim.kind == "quantile"
        else claim
        for claim in CLAIMS.claim
    ]
    claims = msgspec.structs.replace(CLAIMS, claim=tuple(paced))
    counted: list[str] = []
    for name in ("groupby", "merge", "__getitem__", "drop_duplicates"):
        kept = getattr(pd.DataFrame, name)

        def counting(self: pd.DataFrame, *args: object, name: str = name, kept: object = kept, **how: object):
            counted.append(name)
            return kept(self, *args, **how)

        monkeypatch.setattr(pd.DataFrame, name, counting)
    passes = []
    for metrics in (4, 40):
        counted.clear()
        assert len(judge(wide(metrics), claims)) > 5 * metrics
        passes.append(len(counted))
    assert passes[0] == passes[1] < 200


def test_values_of_numpy_never_reach_the_rows() -> None:
    row = ratio(0.0)
    assert not isinstance(row.estimate, np.generic)
