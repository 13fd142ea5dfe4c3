"""Frames to verdicts: what is paired with what, what is refused, and that names have no influence."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bench.judge
from bench import claims
from bench.foreign import ChoiceError, ForeignError, judge_frame
from bench.foreign.readings import reading, summary
from bench.foreign.verdicts import LEAST
from bench.judging.pairs import collect, ratio_series
from bench.stats.cluster import t_interval
from tests.bench.foreign.foreign_samples import WAYS, samples

LOSS, GAIN = math.log(0.97), math.log(1.02)


def one(frame: pd.DataFrame, **choices):
    (found,) = judge_frame(frame, **choices)
    return found


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("better", ["higher", "lower"])
@pytest.mark.parametrize(("effect", "verdict"), [(LOSS, "refuted"), (GAIN, "supported"), (0.0, "supported")])
def test_a_clear_truth_is_found_in_every_way_of_pairing(way: str, better: str, effect: float, verdict: str):
    frame = samples({"host": 0.0, "box": effect}, better=better, sessions=8)
    found = one(WAYS[way](frame))
    assert found.verdict == verdict
    assert found.estimate == pytest.approx(math.exp(effect), abs=0.004)
    assert found.low < found.estimate < found.high
    assert (found.claim, found.arm, found.baseline) == ("judge.ratio", "box", "host")


@pytest.mark.parametrize(
    ("way", "says", "sessions", "pairs"),
    [
        ("by block", "paired by block, 30 pairs", 6, 30),
        ("by session", "paired by session", 6, 6),
        ("by lone block", "paired by block, 30 pairs, no session named: medians of 10 groups of", 0, 30),
        ("unpaired sessions", "unpaired: 6 and 6 sessions, none in common", 6, 0),
        ("unpaired values", "unpaired: 30 and 30 values, assumed to be independent", 0, 0),
    ],
)
def test_the_reason_says_how_values_were_paired(way: str, says: str, sessions: int, pairs: int):
    found = one(WAYS[way](samples()))
    assert says in found.reason
    assert (found.n_sessions, found.n_pairs) == (sessions, pairs)


def test_paired_by_block_it_is_the_number_the_judge_of_runs_gives():
    frame = samples({"host": 0.0, "box": LOSS}, luck=0.003)
    ours = frame.assign(run="r", arm=frame["system"], unit="s", valid=True, reason="")
    interval = t_interval(ratio_series(collect(ours), "host")["m0", "box"].locations, 0.05)
    found = one(frame)
    assert np.log([found.estimate, found.low, found.high]) == pytest.approx(
        [interval.estimate, interval.low, interval.high]
    )


def test_the_least_number_of_sessions_is_that_of_our_own_claims():
    assert claims.load().min_sessions == LEAST


@pytest.mark.parametrize(
    ("frame", "says"),
    [
        (samples(sessions=1), "1 session, a verdict needs at least 4: 3 more"),
        (samples(sessions=3), "3 sessions, a verdict needs at least 4: 1 more"),
        (WAYS["by lone block"](samples(sessions=1, blocks=2)), "2 pairs, a verdict needs at least 4: 2 more"),
        (
            WAYS["unpaired values"](samples(sessions=1, blocks=1)),
            "1 value, a verdict needs at least 4 of each system",
        ),
        (
            WAYS["unpaired sessions"](samples(sessions=3)),
            "3 sessions, a verdict needs at least 4 of each system",
        ),
    ],
)
def test_too_few_are_inconclusive_and_the_reason_counts(frame: pd.DataFrame, says: str):
    found = one(frame, margin=0.5)
    assert found.verdict == "inconclusive"
    assert says in found.reason


@pytest.mark.parametrize(
    ("bad", "says"), [(0.0, "is 0"), (-3.0, "is -3"), (math.nan, "is not a number"), (math.inf, "is inf")]
)
@pytest.mark.parametrize("way", WAYS)
def test_values_of_no_use_make_a_metric_inconclusive_and_name_the_first_row(way: str, bad: float, says: str):
    frame = samples({"host": 0.0, "box": LOSS}, metrics=2)
    frame.loc[[7, 11], "value"] = bad
    first, second = judge_frame(WAYS[way](frame))
    assert first.verdict == "inconclusive"
    assert f"2 values of box unfit for a ratio (frame: row 7 {says})" in first.reason
    assert second.verdict == "refuted"


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("better", "higher", "its directions differ: lower (frame: row 0), higher (frame: row 9)"),
        ("unit", "ms", "its units differ: s (frame: row 0), ms (frame: row 9)"),
        ("unit", "", "its units differ: s (frame: row 0), none (frame: row 9)"),
        ("session", "", "session is empty in frame: row 9 and given in frame: row 0"),
        ("block", "", "block is empty in frame: row 9 and given in frame: row 0"),
    ],
)
def test_what_differs_inside_a_metric_makes_it_inconclusive(column: str, value: str, says: str):
    frame = (
        samples({"host": 0.0, "box": LOSS}, metrics=2).assign(unit="s").astype({"session": str, "block": str})
    )
    frame.loc[9, column] = value
    first, second = judge_frame(frame)
    assert (first.verdict, first.estimate) == ("inconclusive", None)
    assert says in first.reason
    assert second.verdict == "refuted"


@pytest.mark.parametrize(
    ("column", "value", "says"),
    [
        ("value", "12,5", "frame: row 3: .*'12,5'"),
        ("value", "1_000", "frame: row 3: .*'1_000'"),
        ("value", True, "frame: row 3: .*'True'"),
        ("better", "faster", r"frame: row 3: .*\bbetter\b.*'faster'"),
        ("better", None, r"frame: row 3: .*\bbetter\b"),
        ("system", None, r"frame: row 3: .*\bsystem\b"),
        ("metric", " ", r"frame: row 3: .*\bmetric\b"),
    ],
)
def test_a_cell_that_cannot_be_read_is_an_error_that_names_the_row(column: str, value: object, says: str):
    frame = samples().astype({column: object})
    frame.loc[3, column] = value
    with pytest.raises(ForeignError, match=says):
        judge_frame(frame)


def test_a_frame_without_a_column_or_with_one_twice_is_refused():
    frame = samples()
    with pytest.raises(ForeignError, match="system, better; "):
        judge_frame(frame.drop(columns=["system", "better"]))
    with pytest.raises(ForeignError, match="column value "):
        judge_frame(pd.concat([frame, frame["value"]], axis=1))
    with pytest.raises(ForeignError, match=r"^frame: "):
        judge_frame(frame.iloc[:0])


@pytest.mark.parametrize(
    ("choices", "says"),
    [
        ({"baseline": "nobody"}, "'nobody'.*'host', 'box'"),
        ({"margin": 0.0}, r"margin 0\.0\b"),
        ({"margin": math.nan}, "margin nan"),
        ({"margin": 99.0}, r"margin 99 is above 1\b.*\b0\.99"),
        ({"margin": 1.5}, r"margin 1\.5 is above 1\b"),
        ({"alpha": 0.5}, r"alpha 0\.5\b"),
        ({"alpha": math.nan}, "alpha nan"),
    ],
)
def test_a_choice_that_does_not_fit_is_refused(choices: dict[str, object], says: str):
    with pytest.raises(ChoiceError, match=says):
        judge_frame(samples(), **choices)


def test_one_system_alone_is_not_a_comparison():
    with pytest.raises(ChoiceError, match=r"^'host' "):
        judge_frame(samples({"host": 0.0}))


def test_a_metric_without_the_baseline_is_inconclusive_and_one_without_a_system_not_measured():
    frame = samples({"host": 0.0, "box": 0.0, "vm": 0.0}, metrics=3)
    gone = (frame["metric"] == "m1") & (frame["system"] == "host")
    gone |= (frame["metric"] == "m2") & (frame["system"] == "vm")
    found = {(row.metric, row.arm): row for row in judge_frame(frame[~gone])}
    assert len(found) == 6
    assert found["m1", "vm"].verdict == "inconclusive"
    assert "no samples of the baseline host for this metric" in found["m1", "vm"].reason
    assert found["m2", "vm"].verdict == "not measured"
    assert found["m2", "vm"].reason == "no samples of vm for this metric"


def test_what_has_no_partner_is_left_out_and_counted():
    frame = samples()
    found = one(frame[~((frame["system"] == "host") & (frame["block"] == 0))])
    assert found.n_pairs == 24
    assert "6 blocks of box without a partner left out" in found.reason


def test_an_open_verdict_says_how_many_more_would_settle_it():
    frame = samples({"host": 0.0, "box": math.log(0.995)}, noise=0.02)
    found = one(frame)
    assert found.verdict == "inconclusive"
    number = int(found.reason.removeprefix("about ").split()[0])
    assert found.reason.startswith(f"about {number} more sessions like these would settle it")
    more = samples({"host": 0.0, "box": math.log(0.995)}, noise=0.02, sessions=6 + 3 * number)
    assert one(more).verdict == "supported"
    assert "more values of each system like these" in one(WAYS["unpaired values"](frame)).reason


def test_a_level_that_ranks_cannot_reach_says_how_many_values_it_takes():
    found = one(WAYS["unpaired values"](samples(sessions=1, blocks=4)), alpha=0.001)
    assert (found.verdict, found.low) == ("inconclusive", None)
    assert "a bound at alpha 0.001 needs at least 7 values of each system" in found.reason


def test_equal_counts_are_judged_and_said_to_have_no_spread():
    found = one(samples(noise=0.0))
    assert (found.verdict, found.low, found.high) == ("supported", 1.0, 1.0)
    assert "do not vary" in found.reason


def test_consecutive_blocks_are_taken_in_their_natural_order():
    """Drift over the blocks: groups of neighbours keep its variance, a random order would hide it."""
    drift = np.repeat([0.0, 0.05], 10)
    frame = pd.DataFrame({"block": np.arange(20), "value": 1.0, "system": "host"})
    both = pd.concat([frame, frame.assign(system="box", value=np.exp(drift))]).assign(
        metric="m", better="higher"
    )
    assert one(both).high > math.exp(0.05 / 2 + 0.01)


def wandering(effect: float, length: int, seed: int) -> pd.DataFrame:
    """Values of one process each that drift slowly: every one resembles the one before."""
    rng = np.random.default_rng(seed)
    parts = []
    for system, shift in (("host", 0.0), ("box", effect)):
        walk = np.zeros(length)
        for k in range(1, length):
            walk[k] = 0.9 * walk[k - 1] + 0.01 * rng.standard_normal()
        parts.append(pd.DataFrame({"metric": f"m{seed}", "system": system, "value": np.exp(shift + walk)}))
    return pd.concat(parts).assign(better="higher")


@pytest.mark.slow
def test_values_that_resemble_their_neighbours_are_not_counted_one_by_one():
    frame = pd.concat([wandering(math.log(0.99), 200, seed) for seed in range(100)])
    rows = judge_frame(frame)
    assert all(
        "neighbours resemble one another, so medians of 10 and 10 groups" in row.reason for row in rows
    )
    # Taken one by one, about half of these would get a verdict, on a truth that allows none.
    assert sum(row.verdict != "inconclusive" for row in rows) < 25
    shuffled = judge_frame(frame.sample(frac=1.0, random_state=1))
    assert sum(row.verdict != "inconclusive" for row in shuffled) > 40
    assert one(wandering(math.log(0.8), 200, 1)).verdict == "refuted"


# ---- many metrics ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_at_the_margin_each_side_errs_about_as_often_as_promised(way: str):
    """300 metrics truly at the margin; 29 wrong ones of 300 are beyond 5 % with a chance under 0.1 %."""
    luck = 0.004 if "session" in way or way == "by block" else 0.0
    frame = samples({"host": 0.0, "box": math.log(0.99)}, metrics=300, noise=0.01, luck=luck, seed=7)
    states = [row.verdict for row in judge_frame(WAYS[way](frame))]
    assert states.count("supported") < 29
    assert states.count("refuted") < 29
    assert states.count("inconclusive") > 200


def test_holm_withdraws_what_chance_alone_decides_and_keeps_what_is_clear():
    frame = samples({"host": 0.0, "box": math.log(0.99)}, metrics=200, noise=0.01, seed=3)
    clear = samples({"host": 0.0, "box": math.log(0.9)}, metrics=20, noise=0.01, seed=4)
    both = pd.concat([frame, clear.assign(metric="clear " + clear["metric"])])
    plain, held = judge_frame(both), judge_frame(both, holm=True)
    wrong = [row for row in plain if row.verdict != "inconclusive" and not row.metric.startswith("clear")]
    assert 5 < len(wrong) < 40
    assert [row for row in held if row.verdict != "inconclusive" and not row.metric.startswith("clear")] == []
    assert all(row.verdict == "refuted" for row in held if row.metric.startswith("clear"))
    assert "Holm over 220 rows" in held[0].reason
    assert all(a.low <= b.low and a.high >= b.high for a, b in zip(held, plain, strict=True))


def test_holm_goes_on_as_rows_are_decided():
    """With 19 of 20 decided the last one stands at the full level, as it would alone."""
    clear = samples({"host": 0.0, "box": math.log(0.5)}, metrics=19, seed=4)
    last = samples({"host": 0.0, "box": math.log(0.985)}, noise=0.006, seed=2).assign(metric="last")
    alone = one(last)
    assert alone.verdict == "refuted"
    assert judge_frame(pd.concat([clear, last]), holm=True)[-1].high == alone.high


def test_the_summary_counts_and_warns_of_many():
    rows = judge_frame(samples(metrics=60, noise=0.001))
    assert summary(rows[:1], 0.05, holm=False) == "1 row: 1 supported"
    assert "expect up to 3 false ones" in summary(rows, 0.05, holm=False)
    assert "the chance of any false one is at most 5 % per side (Holm)" in summary(rows, 0.05, holm=True)


def test_a_row_reads_as_a_sentence():
    found = one(samples({"host": 0.0, "box": math.log(0.98)}))
    assert reading(found) == (
        f"box runs at {100 * found.estimate:.2f} % of host's performance, between {100 * found.low:.2f} and "
        f"{100 * found.high:.2f} %: refuted against 99 %"
    )
    frame = samples()
    frame.loc[0, "better"] = "higher"
    assert reading(one(frame)) == "box cannot be compared with host: inconclusive"


def test_it_is_offered_by_the_judge():
    assert bench.judge.judge_frame is judge_frame


# ---- invariances -------------------------------------------------------------------------------------------

ways = st.sampled_from(sorted(WAYS))
seeds = st.integers(0, 2**32 - 1)


def numbers(row) -> list[float | None]:
    return [row.estimate, row.low, row.high]


@pytest.mark.slow
@settings.get_profile("dear")
@given(ways, seeds, st.sampled_from(["higher", "lower"]))
def test_the_order_of_rows_and_the_names_of_sessions_have_no_influence(way: str, seed: int, better: str):
    rng = np.random.default_rng(seed)
    frame = WAYS[way](samples(metrics=2, sessions=4, blocks=3, luck=0.01, better=better, seed=seed))
    before = {row.metric: row for row in judge_frame(frame)}
    changed = frame.sample(frac=1.0, random_state=rng)
    if "session" in changed:
        names = {name: f"s{place}" for place, name in enumerate(rng.permutation(changed["session"].unique()))}
        changed["session"] = changed["session"].map(names)
    for row in judge_frame(changed):
        assert numbers(row) == pytest.approx(numbers(before[row.metric]), rel=1e-12)
        assert (row.verdict, row.reason) == (before[row.metric].verdict, before[row.metric].reason)


@pytest.mark.slow
@settings.get_profile("dear")
@given(ways, seeds, st.floats(1e-12, 1e12))
def test_a_constant_factor_leaves_the_ratios(way: str, seed: int, factor: float):
    frame = WAYS[way](samples(sessions=5, blocks=3, seed=seed))
    assert numbers(one(frame.assign(value=frame["value"] * factor))) == pytest.approx(
        numbers(one(frame)), rel=1e-9
    )


@pytest.mark.slow
@settings.get_profile("dear")
@given(ways, seeds)
def test_the_other_system_as_the_baseline_mirrors_the_ratio(way: str, seed: int):
    frame = WAYS[way](samples({"host": 0.0, "box": 0.01}, sessions=5, blocks=3, seed=seed))
    there, back = one(frame), one(frame, baseline="box")
    assert numbers(back) == pytest.approx([1 / there.estimate, 1 / there.high, 1 / there.low], rel=1e-9)


@pytest.mark.slow
@settings.get_profile("dear")
@given(ways, seeds)
def test_the_reciprocal_of_a_value_with_the_other_direction_says_the_same(way: str, seed: int):
    """Seconds a request or requests a second. An odd number of readings, whose median is one of them."""
    frame = WAYS[way](samples(sessions=5, blocks=3, better="lower", seed=seed))
    turned = frame.assign(value=1 / frame["value"], better="higher")
    assert numbers(one(turned)) == pytest.approx(numbers(one(frame)), rel=1e-9)
