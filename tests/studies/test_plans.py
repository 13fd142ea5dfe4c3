"""The summary of two plans' runs: counts, widths in turns, and coverage of the host against itself."""

from __future__ import annotations

import argparse
import sys

import msgspec
import pytest

from bench.model import Verdict
from tests.studies import plans
from tests.studies.test_series import entry, verdict


def row(metric: str, low: float, high: float, state: str = "inconclusive", arm: str = "runtime") -> Verdict:
    one = verdict(metric, state, arm=arm)  # type: ignore[arg-type]
    return msgspec.structs.replace(one, low=low, high=high)


def test_a_side_counts_the_rows_that_decide_a_claim_and_their_contradictions():
    runs = [
        entry(row("cpu.integer", 0.99, 1.01, "supported"), row("cpu.syscall", 0.9, 1.1, "supported")),
        entry(row("cpu.integer", 0.95, 0.98, "refuted"), name="run-02"),
    ]
    found = plans.side(runs)
    assert found.decided == (1, 1)
    assert found.by_row == {"cpu.integer runtime": 2}
    assert len(found.contradictions) == 1
    assert found.rows == 1


def test_widths_are_compared_run_by_run_of_the_same_turn():
    new = [entry(row("cpu.float", 0.995, 1.005)), entry(row("cpu.float", 0.99, 1.01), name="run-02")]
    old = [entry(row("cpu.float", 0.98, 1.02)), entry(row("cpu.float", 0.98, 1.02), name="run-03")]
    (found,) = plans.widths(new, old)
    assert found.row == "cpu.float runtime"
    assert found.ratios == (pytest.approx(0.25, rel=0.01),)


def test_coverage_counts_the_intervals_that_hold_one():
    runs = [
        entry(row("cpu.float", 0.99, 1.01, arm="again"), row("cpu.integer", 1.001, 1.01, arm="again")),
        entry(row("cpu.float", 0.98, 1.02, arm="again"), row("*", 0.5, 0.6, arm="again"), name="run-02"),
    ]
    found = plans.again(runs)
    assert (found.covered.k, found.covered.n) == (2, 3)
    assert found.by_metric["cpu.integer"].k == 0


def test_a_run_that_was_cut_is_gone_on_with_by_the_checkouts_own_interpreter(tmp_path):
    new = plans.command(tmp_path / "run-01", tmp_path, 1, "runtime", "150")
    assert new[0] == sys.executable
    assert new[-2:] == ["--budget", "150"]
    own = tmp_path / ".venv" / "bin" / "python"
    own.parent.mkdir(parents=True)
    own.touch()
    (tmp_path / "run-01" / "log").mkdir(parents=True)
    (tmp_path / "run-01" / "log" / "journal.jsonl").touch()
    cut = plans.command(tmp_path / "run-01", tmp_path, 1, None, None)
    assert cut == [str(own), "-m", "bench", "run", "--resume", str(tmp_path / "run-01")]


def test_plans_take_turns_at_being_first_and_what_is_there_is_not_run_again(tmp_path, monkeypatch):
    begun = []
    monkeypatch.setattr(
        plans, "run_missing", lambda directory, *more: begun.append((directory.name, more[1]))
    )
    options = argparse.Namespace(
        old=tmp_path / "old", runs=2, again=1, out=tmp_path, backends=None, budget=None
    )
    plans.run_all(options)
    assert begun == [("new", 1), ("old", 1), ("old", 2), ("new", 2), ("again", 1)]
