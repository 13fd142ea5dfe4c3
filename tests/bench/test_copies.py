"""Second copies count in the pairs of their arms, where the plan says so, and stay a control of their own."""

import itertools
import math

import msgspec
import numpy as np
import pytest

from bench.claims import load
from bench.judge import judge
from bench.judging.comparisons import RunSeries
from bench.judging.pairs import collect
from bench.model import AA, Sample
from bench.store import frame
from tests.bench.looking import HOST_ONLY, plan

METRIC = "cpu.integer"
ARMS = ("host", "host-b", "runtime", "runtime-b", "host-2pct")
COPIES = plan([METRIC], looks=None)
COPIES = msgspec.structs.replace(COPIES, pairing="copies")


def sample(arm: str, value: float, session: int = 0, block: int = 0) -> Sample:
    place = {"run": "r", "session": session, "block": block, "order": 0, "scenario": METRIC, "arm": arm}
    return Sample(**place, metric=METRIC, unit="1/s", better="higher", value=value, start_ns=0, duration_ns=1)


def run_of(sessions: int, seed: int, off: float = 0.0) -> list[Sample]:
    """Sessions of one block; every slice 1 % noisy, both copies of the runtime `off` from the host."""
    rng = np.random.default_rng(seed)
    expected = {arm: off if arm.startswith("runtime") else 0.0 for arm in ARMS} | {"host-2pct": -0.0198}
    return [
        sample(arm, math.exp(mean + 0.01 * rng.standard_normal()), session)
        for session, (arm, mean) in itertools.product(range(sessions), expected.items())
    ]


def test_a_pair_is_the_mean_of_both_copies_of_both_sides():
    values = {"host": 1.0, "host-b": 1.1, "runtime": 1.2, "runtime-b": 0.9, "host-2pct": 0.98}
    evidence = RunSeries(collect(frame([sample(*one) for one in values.items()])), copies=COPIES.counted)
    pooled = evidence.pooled("host")
    assert set(pooled) == {(METRIC, "runtime"), (METRIC, "host-2pct")}
    assert pooled[METRIC, "runtime"].locations == pytest.approx([math.log(1.2 * 0.9 / 1.1) / 2])
    assert pooled[METRIC, "host-2pct"].locations == pytest.approx([math.log(0.98) - math.log(1.1) / 2])
    assert evidence.ratios("host")[METRIC, "runtime"].locations == pytest.approx([math.log(1.2)])


def test_a_block_that_lost_a_copy_keeps_its_pair():
    there = [sample("host-b", 1.0), sample("runtime", 2.0), sample("host", 3.0, block=1)]
    found = RunSeries(collect(frame(there)), copies=COPIES.counted).pooled("host")[METRIC, "runtime"]
    assert (found.n_pairs, found.locations) == (1, pytest.approx([math.log(2.0)]))
    zero = [*there, sample("runtime-b", 0.0)]
    found = RunSeries(collect(frame(zero)), copies=COPIES.counted).pooled("host")[METRIC, "runtime"]
    assert (found.n_pairs, found.unfit) == (0, 1)


def test_a_slice_that_something_struck_costs_one_copy_of_a_session_at_most():
    """Each copy's pairs have a median of their own, so four arms are not four chances to spoil a block."""
    struck = {("runtime", 0): 0.5, ("host-b", 1): 0.5, ("runtime-b", 2): 0.5}
    slices = [
        sample(arm, struck.get((arm, block), 1.0), block=block)
        for arm in ("host", "host-b", "runtime", "runtime-b")
        for block in range(3)
    ]
    found = RunSeries(collect(frame(slices)), copies=COPIES.counted).pooled("host")[METRIC, "runtime"]
    assert found.locations[0] > math.log(0.5) / 2 - 1e-9
    assert [len(one.locations) for one in found.alike] == [1, 1]


def test_the_plan_decides_and_the_verdict_says_so():
    samples = frame(run_of(120, seed=1))
    rows = {}
    for pairing in ("single", "copies"):
        chosen = msgspec.structs.replace(COPIES, pairing=pairing)
        found = judge(samples, load(), chosen)
        rows[pairing] = next(row for row in found if (row.metric, row.arm) == (METRIC, "runtime"))
        assert rows[pairing].pairing == pairing
        control = [(row.estimate, row.low, row.pairing) for row in found if row.claim == AA]
        assert control == rows.setdefault("control", control), "the A/A control is of single copies"
    widths = [math.log(row.high / row.low) for row in (rows["copies"], rows["single"])]
    assert 0.5 < widths[0] / widths[1] < 0.95, "half of the variance, in expectation"


def test_a_run_of_the_host_alone_judges_its_second_copy():
    alone = msgspec.structs.replace(plan([METRIC], arms=HOST_ONLY, looks=None), pairing="copies")
    assert alone.counted == {}


def test_the_control_is_independent_of_the_verdict():
    """h − h_b and h + h_b are uncorrelated, so a run that passes A/A is not luckier than others."""
    shifts, differences = [], []
    for seed in range(120):
        evidence = RunSeries(collect(frame(run_of(4, seed))), copies=COPIES.counted)
        shifts.append(evidence.pooled("host")[METRIC, "runtime"].locations.mean())
        differences.append(evidence.ratios("host")[METRIC, "host-b"].locations.mean())
    assert abs(np.corrcoef(shifts, differences)[0, 1]) < 0.27, "three standard errors"
    assert np.std(shifts) < 0.8 * np.std(differences)
