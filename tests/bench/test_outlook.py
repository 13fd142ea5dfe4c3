"""How many sessions would settle it: in words for a verdict, in numbers for a run that goes on."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.claims import Claim, load
from bench.judge import judge
from bench.judging.comparisons import Comparison
from bench.judging.outlook import POWER, needed, needed_with_looks
from bench.judging.pairs import Series
from bench.judging.rows import decide
from bench.model import Looks
from bench.stats import quantile
from bench.stats.cluster import t_interval
from tests.bench.judge_samples import ARMS, find, samples

CLAIMS = load()
PERFORMANCE = next(claim for claim in CLAIMS.claim if claim.id == "performance")
EXTRA = next(claim for claim in CLAIMS.claim if claim.id == "disk.extra_instance")
TAIL = next(claim for claim in CLAIMS.claim if claim.id == "startup.tail")
MARGIN = math.log(0.99)
LOOKS = Looks(first=5, last=24)


def comparison(locations: np.ndarray, tail: float = 0.0, pairs: int = 4) -> Comparison:
    def bounds(alpha: float):
        found = t_interval(locations, alpha)
        return type(found)(
            estimate=math.exp(found.estimate),
            low=math.exp(found.low),
            high=math.exp(found.high),
            se=found.se,
            n_clusters=found.n_clusters,
        )

    series = Series(clusters=np.arange(locations.size), locations=locations, n_pairs=pairs * locations.size)
    return Comparison(
        metric="m",
        shown="m",
        role="primary",
        arm="runtime",
        baseline="host",
        series=series,
        bounds=bounds,
        tail=tail,
    )


def settled(truth: float, spread: float, sessions: int, runs: int = 400) -> float:
    """Share of runs of so many sessions that end in a verdict."""
    rng = np.random.default_rng(1)
    draws = truth + spread * rng.standard_normal((runs, sessions))
    states = (decide(t_interval(one, 0.05), MARGIN, at_least=True) for one in draws)
    return sum(state != "inconclusive" for state in states) / runs


@settings(max_examples=10, deadline=None)
@given(st.floats(0.003, 0.02), st.floats(0.004, 0.02))
def test_as_many_sessions_as_it_says_settle_it_as_often_as_it_says(distance: float, spread: float) -> None:
    # Six locations with exactly this mean and deviation: what the forecast takes for the truth.
    base = np.array([-1.0, 1.0, -1.0, 1.0, -1.0, 1.0])
    one = comparison(MARGIN + distance + spread * base / np.std(base, ddof=1))
    sessions = needed(PERFORMANCE, one, one.bounds(0.05))
    if (
        sessions > 7
    ):  # else it is settled already, or the next session is forecast, which is the least it says
        assert settled(MARGIN + distance, spread, int(sessions)) == pytest.approx(POWER, abs=0.08)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.floats(-0.05, 0.05), min_size=5, max_size=12))
def test_a_run_that_looks_is_never_promised_fewer_sessions_than_one_more(values: list[float]) -> None:
    one = comparison(np.array(values))
    found = needed_with_looks(PERFORMANCE, one, one.bounds(0.01), LOOKS)
    assert found > len(values) or math.isnan(found)


def test_beyond_the_last_look_the_forecast_is_beyond_the_plan() -> None:
    one = comparison(MARGIN + 0.001 + 0.02 * np.array([-1.0, 1.0, -1.0, 1.0, -1.0, 1.0]))
    assert needed_with_looks(PERFORMANCE, one, one.bounds(0.01), LOOKS) > LOOKS.last


def test_a_tail_counts_values_and_more_sessions_need_fewer() -> None:
    few = comparison(np.zeros(8), tail=0.99)  # 4 values a session
    sessions = int(needed(TAIL, few, few.bounds(0.05)))
    assert 4 * sessions >= quantile.needed(0.99, sessions, 0.05)
    assert 4 * (sessions - 1) < quantile.needed(0.99, sessions - 1, 0.05)


def test_a_tail_with_values_enough_is_given_as_many_again() -> None:
    enough = comparison(np.zeros(200), tail=0.99)
    assert needed(TAIL, enough, enough.bounds(0.05)) == 400


def test_a_tail_needs_more_where_each_look_may_spend_less() -> None:
    quick = comparison(np.zeros(6), tail=0.99, pairs=60)
    looks = Looks(first=5, last=40)
    assert needed(TAIL, quick, quick.bounds(0.05)) == 7
    assert needed_with_looks(TAIL, quick, quick.bounds(0.05), looks) > 7


def reason(claim: Claim, effect: float, noise: float, **how: object) -> str:
    metric = claim.primary[0]
    frame = samples([metric], {**ARMS, "runtime": effect}, noise=noise, **how)
    return find(judge(frame, CLAIMS), claim.id, metric).reason


def test_a_verdict_that_lies_on_the_margin_is_not_promised_by_more_sessions() -> None:
    frame = samples(["cpu.integer"], {**ARMS, "runtime": MARGIN}, noise=0.02)
    own = frame["arm"] == "runtime"
    base = frame[frame["arm"] == "host"]["value"].to_numpy()
    frame.loc[own, "value"] = base * 0.99 * np.tile([1.02, 1 / 1.02], own.sum() // 2)
    frame.loc[own, "value"] *= np.where(frame[own]["session"] % 2 == 0, 1.01, 1 / 1.01)
    assert (
        "too close to the margin to settle" in find(judge(frame, CLAIMS), "performance", "cpu.integer").reason
    )


def test_thresholds_in_bytes_are_forecast_on_their_own_scale() -> None:
    said = reason(EXTRA, 0.0, 0.4, unit="B", better="lower", level=0.8 * 2.0**20, seed=3)
    assert "more sessions like these would settle it" in said
