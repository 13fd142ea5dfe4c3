"""The summary of a series, on verdicts written down by hand."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import store
from bench.model import SCHEMA_VERSION, ArmPlan, Closed, Fingerprint, Metric, Plan, Run, State, Verdict
from tests.studies import series


def verdict(metric: str, state: State, claim: str = "performance", arm: str = "again") -> Verdict:
    return Verdict(
        claim=claim, metric=metric, arm=arm, baseline="host", estimate=0.97, low=0.96, high=0.98,
        margin=0.99, alpha=0.05, n_sessions=6, n_pairs=30, verdict=state, notes=("because",),
    )  # fmt: skip


HOST = ArmPlan(name="host", backend="host", kind="host", role="baseline")


def run(**changes: Any) -> Run:
    metric = Metric(name="cpu.integer", unit="ops/s", better="higher", role="primary", definition="")
    plan = Plan(
        profile="quick", seed=1, arms=(HOST,), scenarios=(), metrics=(metric,), sessions=12, steps=(),
        cpus=(0,), budget_s=150.0,
    )  # fmt: skip
    texts = dict.fromkeys((name for name in Fingerprint.__struct_fields__), "")
    host = Fingerprint(**(texts | {"cpus": 2, "memory_bytes": 1, "mitigations": {}, "tools": {}}))  # type: ignore[arg-type]
    whole = Run(
        schema=SCHEMA_VERSION, id="r", command=(), started="2026-11-24T07:00:00Z",
        ended="2026-11-24T07:03:00Z", status="complete", plan=plan, host=host, image=None, backends=(),
        not_measured=(), versions={}, sessions_run=7,
    )  # fmt: skip
    return msgspec.structs.replace(whole, **changes)


def entry(*verdicts: Verdict, name: str = "run-01", **changes: Any) -> series.Entry:
    return series.Entry(name=name, run=run(**changes), verdicts=verdicts)


PRIMARY = frozenset({"cpu.integer"})


def test_refutations_of_the_host_against_itself_are_counted_by_role_and_claim() -> None:
    one = entry(
        verdict("*", "refuted"),
        verdict("cpu.integer", "refuted"),
        verdict("cpu.syscall", "refuted"),
        verdict("disk.seqread.image", "supported", claim="disk.io"),
        verdict("startup.first_byte", "refuted", claim="startup.tail"),
        verdict("cpu.float", "refuted", arm="runtime"),
    )
    primary, everything = series.self_tests([one], PRIMARY)

    assert [row.metric for row in primary.refuted] == ["cpu.integer"]
    assert [row.metric for row in everything.refuted] == ["cpu.integer", "cpu.syscall"]
    assert (everything.supported.k, everything.supported.n) == (1, 3)


def test_what_was_not_measured_is_not_a_row() -> None:
    one = entry(verdict("cpu.integer", "not measured"), verdict("cpu.float", "supported"))

    assert series.summarise([one], PRIMARY).again[1].supported.n == 1


def test_a_share_has_its_exact_binomial_interval() -> None:
    found = series.share(1, 20)  # Clopper and Pearson 1934; R: binom.test(1, 20) gives 0.001265 to 0.2487

    assert found.low == pytest.approx(0.001265, abs=1e-5)
    assert found.high == pytest.approx(0.24873, abs=1e-5)
    assert series.share(0, 0).high == 1.0


@given(st.integers(1, 200).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_an_interval_holds_its_share(counts: tuple[int, int]) -> None:
    found = series.share(*counts)

    assert 0 <= found.low <= counts[0] / counts[1] <= found.high <= 1


def test_a_verdict_that_flips_between_runs_is_a_contradiction_and_an_undecided_one_is_none() -> None:
    runs = [
        entry(verdict("cpu.integer", "supported"), verdict("cpu.float", "supported")),
        entry(verdict("cpu.integer", "refuted"), verdict("cpu.float", "inconclusive")),
    ]
    found = series.summarise(runs, PRIMARY)

    assert [one.metric for one in found.contradictions] == ["cpu.integer"]
    assert "BROKEN: metrics supported in one run and refuted in another: 1" in series.markdown(found)


def test_the_same_metric_on_two_systems_does_not_contradict_itself() -> None:
    runs = [entry(verdict("x", "supported", arm="runtime"), verdict("x", "refuted", arm="crun"))]

    assert series.summarise(runs, PRIMARY).contradictions == ()


def test_controls_are_counted_and_a_failed_one_is_named() -> None:
    def controls(aa: State, positive: State, found: State) -> tuple[Verdict, ...]:
        return (
            verdict("joint", aa, claim="control.aa", arm="host-b"),
            verdict("cpu.integer", "refuted", claim="control.aa", arm="host-b"),
            verdict("joint", positive, claim="control.positive", arm="host-2pct"),
            verdict("cpu.integer", found, claim="control.positive", arm="host-2pct"),
        )

    runs = [
        entry(*controls("supported", "supported", "supported"), name="run-01"),
        entry(*controls("refuted", "inconclusive", "inconclusive"), name="run-02"),
    ]
    found = series.summarise(runs, PRIMARY)

    assert (found.joint_failed.k, found.joint_failed.n) == (1, 2)
    assert found.positive == {"supported": 1, "inconclusive": 1}
    assert found.positive_metrics == {"cpu.integer": {"supported": 1, "inconclusive": 1}}
    assert found.invalid == ("run-02: control.aa: because",)
    assert found.tallies == ()
    assert "found 1, lacked power 1" in series.markdown(found)


def test_times_and_sessions_are_medians() -> None:
    closed = (
        Closed(scenario="a", arm="again", sessions=5),
        Closed(scenario="b", arm="again", sessions=8),
        Closed(scenario="a", arm="host", sessions=8),
    )
    runs = [
        entry(closed=closed),
        entry(ended="2026-11-24T07:05:00Z", sessions_run=9),
        entry(ended="2026-11-24T07:04:00Z", sessions_run=None),
    ]
    found = series.summarise(runs, PRIMARY)

    assert (found.seconds, found.seconds_range) == (240.0, (180.0, 300.0))
    assert found.sessions == 9
    assert found.decided == {"again": 6.5}


def test_a_series_without_runs_is_an_error() -> None:
    with pytest.raises(ValueError, match="no complete run"):
        series.summarise([], PRIMARY)


OPTIONS = argparse.Namespace(profile="quick", backends="again", families=None, budget="150", runs=2)


def test_a_run_is_begun_with_a_seed_of_its_own_and_gone_on_with_where_it_was_cut(tmp_path: Path) -> None:
    first, second = (series.command(tmp_path / str(n), OPTIONS, n) for n in (1, 2))
    assert first[first.index("--seed") + 1] != second[second.index("--seed") + 1]
    assert first[-2:] == ["--budget", "150"]

    journal = tmp_path / "1" / series.JOURNAL
    journal.parent.mkdir(parents=True)
    journal.touch()
    assert series.command(tmp_path / "1", OPTIONS, 1)[-2:] == ["--resume", str(tmp_path / "1")]


def test_complete_runs_are_not_repeated_and_a_broken_one_ends_the_series(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "run-01")
    asked: list[Path] = []

    def broken(path: Path, options: argparse.Namespace, number: int) -> list[str]:
        asked.append(path)
        return [sys.executable, "-c", "raise SystemExit(1)"]

    monkeypatch.setattr(series, "command", broken)
    with pytest.raises(SystemExit, match=r"/run-02: .*\b1\b"):
        series.run_all(tmp_path, OPTIONS)
    assert [path.name for path in asked] == ["run-02"]


def test_the_summary_of_a_directory_is_written_and_read_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path / "run-01", verdict("cpu.integer", "supported"))
    write(tmp_path / "run-02", verdict("cpu.integer", "inconclusive"), status="interrupted")
    monkeypatch.setattr(sys, "argv", ["series", "--summary-only", "--out", str(tmp_path)])

    assert series.main() == 0
    found = msgspec.json.decode((tmp_path / "series.json").read_bytes(), type=series.Summary)
    assert found.runs == 1
    assert (tmp_path / "series.md").read_text() == capsys.readouterr().out


def write(path: Path, *verdicts: Verdict, **changes: Any) -> None:
    path.mkdir()
    store.write_run(path, run(**changes))
    store.write_samples(path, [])
    store.write_verdicts(path, verdicts)
