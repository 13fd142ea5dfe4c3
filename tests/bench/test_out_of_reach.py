"""What a look gave up as too noisy: what its row says and may spend, and how long it would have taken."""

import math

import pytest

from bench.claims import load
from bench.judge import judge
from bench.judging.comparisons import RunSeries, ratio
from bench.judging.outlook import noise, with_pairs
from bench.judging.pairs import collect
from bench.model import Looks, OutOfReach, Verdict
from bench.store import frame
from tests.bench.looking import plan
from tests.bench.test_copies import METRIC, run_of

LOOKS = Looks(first=4, last=12)
PLAN = plan([METRIC], looks=LOOKS)
CLAIM = next(claim for claim in load().claim if claim.id == "performance")


def row(given_up: tuple[OutOfReach, ...]) -> Verdict:
    found = judge(frame(run_of(5, seed=2)), load(), PLAN, sessions_run=5, out_of_reach=given_up)
    return next(row for row in found if (row.claim, row.metric, row.arm) == (CLAIM.id, METRIC, "runtime"))


def test_a_row_that_was_given_up_says_so_and_gets_no_more_alpha_than_its_last_look():
    usual = row(())
    given_up = row((OutOfReach(scenario=METRIC, arm="runtime", sessions=5, seconds=1234.0),))
    assert (usual.out_of_reach, usual.minutes) == (False, None)
    assert (given_up.out_of_reach, given_up.minutes) == (True, 20.6)
    assert "more sessions" in usual.reason or "not in sight" in usual.reason
    assert "sessions like these" not in given_up.reason and "not in sight" not in given_up.reason
    assert given_up.low < usual.low <= usual.high < given_up.high, "it stopped by the data, so not all of it"
    unseen = row((OutOfReach(scenario=METRIC, arm="runtime", sessions=5, seconds=None),))
    assert (unseen.out_of_reach, unseen.minutes) == (True, None)


def comparison(sessions: int, off: float = 0.0):
    return ratio(RunSeries(collect(frame(run_of(sessions, 3, off)))), (METRIC, "runtime"), "primary", "host")


def test_the_forecast_by_noise_is_that_of_an_equal_arm_and_of_one_far_off_sooner():
    near, far = comparison(4, off=-0.01), comparison(4, off=-0.2)
    sessions = [with_pairs(CLAIM, near, LOOKS, 1, pairs) for pairs in (1, 3, 9)]
    assert sessions == sorted(sessions, reverse=True), "more pairs, fewer sessions"
    assert math.isfinite(sessions[0]), "an estimate on the margin does not make it hopeless"
    assert with_pairs(CLAIM, near, LOOKS, 1, 3, lucky=True) <= sessions[1]
    assert with_pairs(CLAIM, far, LOOKS, 11, 1) <= sessions[0]


def test_noise_of_sessions_with_one_pair_is_taken_for_that_of_pairs():
    found = noise(comparison(20).series)
    assert found is not None
    assert found.between == 0.0
    assert math.sqrt(found.within) == pytest.approx(0.0141, rel=0.5)
    assert 0.5 < found.luck < 1.0
    assert noise(comparison(1).series) is None
