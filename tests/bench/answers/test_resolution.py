"""What the A/A control could have found: in the metrics that matter, and in truth."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest

from bench import claims, model
from bench.answers.instrument import negative
from bench.answers.resolution import POWER, Resolution, resolution
from bench.stats.cluster import t_interval
from bench.stats.control import FLOOR, RESERVE, joint_control
from bench.stats.location import Floats
from tests.reports import synthetic
from tests.reports.made_verdicts import verdict

KNOWN = claims.load()
JOINT = verdict("control.aa", "joint", "supported", arm="host-b", alpha=0.01)


def copy(metric: str, width: float, sessions: int = 6, arm: str = "host-b") -> model.Verdict:
    """A row of the A/A control with an interval of that width."""
    return verdict(
        "control.aa", metric, "inconclusive", arm=arm, low=1 - width, high=1 + width, n_sessions=sessions
    )


def seen(*rows: model.Verdict) -> Resolution | None:
    return resolution(negative(synthetic.run(), (JOINT, *rows)), KNOWN)


def test_metrics_that_only_explain_do_not_hide_what_those_that_decide_could_show() -> None:
    explaining = [copy(f"network.latency.{place}", 0.4) for place in range(9)]
    found = seen(copy("cpu.integer", 0.001), copy("cpu.float", 0.002), *explaining)
    assert found is not None
    assert found.decide
    assert len(found.sizes) == 2
    assert found.half < 0.1


def test_metrics_that_the_control_did_not_test_have_no_part_in_it() -> None:
    few = [copy(f"network.latency.{place}", 0.4, sessions=2) for place in range(9)]
    assert seen(copy("cpu.integer", 0.001), *few) == seen(copy("cpu.integer", 0.001))
    assert seen(*few) is None


def test_without_a_metric_that_decides_all_that_it_tests_count() -> None:
    found = seen(copy("disk.randread.image", 0.001), copy("disk.randread.layer", 0.4))
    assert found is not None
    assert (found.decide, len(found.sizes), found.seen(0.1)) == (False, 2, 1)


def test_of_two_pairs_of_copies_the_less_sensitive_one_counts() -> None:
    rows = (copy("cpu.integer", 0.001), copy("cpu.integer", 0.02, arm="runtime-b"))
    both, worse = seen(*rows), seen(rows[1], copy("cpu.syscall", 0.4))
    assert both == worse


@pytest.mark.parametrize(("sessions", "spread"), [(4, 0.001), (6, 0.01), (12, 0.02)])
def test_a_difference_of_that_size_fails_the_control_as_often_as_promised(
    sessions: int, spread: float
) -> None:
    """Half of the runs take what could be found for more, half for less: at the middle, the chance holds."""
    rng, runs, metrics = np.random.default_rng(1), 500, 8

    def noise() -> Floats:
        return rng.normal(0.0, spread, (metrics, sessions))

    middle = statistics.median(_half(noise(), sessions) for _ in range(runs))
    caught = 0
    for _ in range(runs):
        locations = noise()
        locations[0] += math.log1p(middle)
        own = joint_control(locations, np.zeros(metrics), FLOOR).metrics
        caught += 2 * float(np.min(own)) <= JOINT.alpha * RESERVE
    assert abs(caught / runs - POWER) < 0.08


def _half(noise: Floats, sessions: int) -> float:
    """What a run of this noise says that it could have found in half of its metrics."""
    spans = [t_interval(one, 0.05) for one in noise]
    ends = [(math.exp(float(span.low)), math.exp(float(span.high))) for span in spans]
    rows = [
        verdict("control.aa", f"cpu.{n}", "inconclusive", low=low, high=high, n_sessions=sessions)
        for n, (low, high) in enumerate(ends)
    ]
    found = seen(*rows)
    assert found is not None
    return found.half
