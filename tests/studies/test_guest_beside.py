"""The coin-flip study: who runs when, what is compared, and that a cut study goes on."""

from pathlib import Path

import numpy as np
import pytest

from bench.cli.dependencies import Dependencies
from bench.testing import FakeBackend, FakeScenario, fake_image
from tests.studies import guest_beside


@pytest.fixture
def fakes(tmp_path, monkeypatch):
    events: list[tuple[str, ...]] = []
    monkeypatch.setenv("NINETYNINE_CACHE", str(tmp_path / "cache"))
    backends = {
        "host": lambda root: FakeBackend("host", events=events),
        "vm": lambda root: FakeBackend("vm", final="vm-tcg", events=events),
    }
    scenarios = (
        FakeScenario("cpu.integer", "cpu"),
        FakeScenario("memory.bandwidth", "memory", cv=0.03),
    )
    return events, Dependencies.fake(backends=backends, scenarios=scenarios, image=fake_image())


def run(fakes, out: Path) -> guest_beside.Found:
    arguments = ["--sessions", "2", "--blocks", "3", "--cpus", "0", "--out", str(out)]
    assert guest_beside.main(arguments, fakes[1]) == 0
    return guest_beside.msgspec.json.decode((out / "guest_beside.json").read_bytes(), type=guest_beside.Found)


def test_a_guest_runs_beside_half_of_the_sessions_from_before_their_arms_to_after_them(fakes, tmp_path):
    events, _ = fakes
    found = run(fakes, tmp_path)
    assert found.sessions == {"running": 2, "absent": 2}
    assert {row.metric for row in found.rows} == {"cpu.integer", "memory.bandwidth"}
    assert all(row.pairs == {"running": 6, "absent": 6} for row in found.rows)
    beside, sessions = False, []
    for what, arm, *_ in events:
        if arm == "vm-tcg" and what in ("start", "stop"):
            beside = what == "start"
        elif (what, arm) == ("start", "host"):
            sessions.append(beside)
    assert sorted(sessions) == 4 * [False] + 4 * [True], "the host and its copy in each session"


def test_a_study_that_was_cut_measures_only_what_is_missing(fakes, tmp_path):
    events, _ = fakes
    first = run(fakes, tmp_path)
    cut = sorted(tmp_path.glob("0*/log/journal.jsonl"))[-1]
    cut.write_bytes(b"".join(cut.read_bytes().splitlines(keepends=True)[:-3]))
    begun = len(events)
    assert run(fakes, tmp_path).sessions == first.sessions
    assert len([event for event in events[begun:] if event[:2] == ("start", "host")]) == 2


def test_twice_the_spread_is_four_times_the_variance_and_is_seen_by_all_tests():
    rng = np.random.default_rng(3)
    sessions = [
        rng.normal(rng.normal(0, 0.05), 0.01 * (1 + wide), 8).tolist() for wide in (1, 0) for _ in range(12)
    ]
    row = guest_beside.compare("m", sessions[:12], sessions[12:])
    assert 2.5 < row.ratio < 6
    assert max(row.f_p, row.levene_p, row.permutation_p) < 0.01
    assert row.sd["absent"] == pytest.approx(0.01, rel=0.2), "instances' luck is not part of it"


def test_no_difference_is_seldom_seen():
    rng = np.random.default_rng(4)
    found = [
        guest_beside.compare("m", rng.normal(0, 1, (6, 6)).tolist(), rng.normal(0, 1, (6, 6)).tolist())
        for _ in range(100)
    ]
    for name in ("f_p", "levene_p", "permutation_p"):
        assert sum(getattr(row, name) < 0.05 for row in found) <= 12
