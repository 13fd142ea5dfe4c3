"""Claims that something is the same everywhere, and claims that only a daemon's figures decide."""

import math

import pandas as pd
import pytest

from bench.claims import load
from bench.judge import judge
from bench.model import NotMeasured
from tests.bench.judge_samples import ARMS, find, samples
from tests.bench.looking import planned

CLAIMS = load()
EVERYWHERE = {**ARMS, "runtime-b": 0.0, "vm-tcg": 0.0}
SAME = "check.same_output"


def digests(**how):
    return samples([SAME], EVERYWHERE, noise=0.0, unit="digest", level=float(0xABCDEF), **how)


def test_equal_everywhere_is_supported_for_each():
    frame = digests()
    rows = judge(frame, CLAIMS, planned(frame))
    for arm in ("runtime", "vm-tcg"):
        row = find(rows, "image.portable", SAME, arm)
        assert (row.verdict, row.n_sessions, row.n_pairs) == ("supported", 6, 24)
        assert "the same as host" in row.reason


def test_one_pair_that_differs_refutes():
    frame = digests()
    other = frame.index[(frame["arm"] == "vm-tcg")][3]
    frame.loc[other, "value"] += 1
    rows = judge(frame, CLAIMS, planned(frame))
    assert find(rows, "image.portable", SAME, "vm-tcg").verdict == "refuted"
    assert find(rows, "image.portable", SAME, "vm-tcg").reason.startswith("1 of 24 pairs differ")
    assert find(rows, "image.portable", SAME, "runtime").verdict == "supported"


def test_too_few_pairs_are_inconclusive():
    row = find(judge(digests(sessions=3, blocks=1), CLAIMS), "image.portable", SAME)
    assert row.verdict == "inconclusive"
    assert "at least 4" in row.reason


def test_a_program_that_failed_is_reported():
    frame = digests()
    failed = frame["arm"] == "runtime"
    frame.loc[failed, "valid"] = False
    frame.loc[failed, "reason"] = "no python3"
    row = find(judge(frame, CLAIMS), "image.portable", SAME)
    assert row.verdict == "inconclusive"
    assert "no python3" in row.reason


def test_where_it_was_not_measured_the_row_says_so():
    gap = NotMeasured(arm="vm-tcg", metric=SAME, reason="left out of the quick profile")
    frame = digests()
    rows = judge(frame[frame["arm"] != "vm-tcg"], CLAIMS, planned(frame), [gap])
    assert find(rows, "image.portable", SAME, "vm-tcg").verdict == "not measured"


def test_identical_numbers_do_not_fail_the_control():
    row = judge(digests(), CLAIMS)[0]
    assert (row.claim, row.metric, row.verdict) == ("control.aa", "joint", "supported")


def daemon(metrics, level, **how):
    """Samples of `nnd` alone, beside a host that has other metrics."""
    own = samples(metrics, {"nnd": 0.0}, level=level, better="lower", **how)
    other = samples(["cpu.integer"], {**ARMS, "runtime-b": 0.0})
    return pd.concat([other, own], ignore_index=True)


@pytest.mark.parametrize(("ratio", "verdict"), [(1.01, "supported"), (2.0, "refuted")])
def test_transfers_are_judged_by_bytes_for_each_byte_that_changed(ratio, verdict):
    moved = ["image.pull.changed.moved", "image.push.changed.moved"]
    rows = judge(daemon(moved, ratio, unit="ratio"), CLAIMS)
    for metric in (*moved, "*"):
        assert find(rows, "transfer", metric, "nnd").verdict == verdict


@pytest.mark.parametrize(("files", "verdict"), [(0.0, "supported"), (1.0, "refuted")])
def test_an_image_is_unchanged_when_no_file_differs(files, verdict):
    frame = daemon(["image.changed_files"], files, unit="files", noise=0.0)
    assert find(judge(frame, CLAIMS), "image.unchanged", "image.changed_files", "nnd").verdict == verdict


def test_claims_about_daemons_are_not_measured_where_none_was_in_the_run():
    rows = judge(samples(["cpu.integer"], {**ARMS, "runtime-b": 0.0}), CLAIMS)
    for claim in ("transfer", "image.unchanged", "startup.command"):
        found = [(row.arm, row.verdict, row.reason) for row in rows if row.claim == claim]
        assert found == [
            ("*", "not measured", "none of the systems it speaks of was in this run (nnd, docker)")
        ]


@pytest.mark.parametrize("claim", CLAIMS.claim, ids=lambda claim: claim.id)
def test_what_is_claimed_of_our_containers_is_claimed_of_those_that_the_daemon_gives(claim):
    assert claim.speaks_of("nnd") or not claim.speaks_of("runtime")


def test_containers_of_our_daemon_are_judged_beside_those_of_the_runtime():
    frame = samples(["network.throughput.nat"], {**ARMS, "runtime-b": 0.0, "nnd": math.log(0.8)})
    rows = judge(frame, CLAIMS)
    assert find(rows, "performance", "network.throughput.nat", "runtime").verdict == "supported"
    assert find(rows, "performance", "network.throughput.nat", "nnd").verdict == "refuted"
    assert find(rows, "performance", "*", "nnd").verdict == "refuted"
    assert "cpu.integer" in find(rows, "performance", "*", "runtime").reason
