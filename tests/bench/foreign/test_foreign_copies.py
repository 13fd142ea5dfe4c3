"""Copies are not replication: pasted rows, files and sessions given twice, a system that is another one."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from bench.cli import app
from bench.foreign import ForeignError, judge_frame
from bench.foreign.copies import equal_by_chance
from bench.foreign.gather import gather
from tests.bench.foreign.foreign_samples import WAYS, samples

DATA = Path(__file__).parent / "data"
LOSS = {"host": 0.0, "box": math.log(0.986)}
PLAIN = WAYS["unpaired values"](samples(LOSS, sessions=1, blocks=6))


def judged(*files: object) -> list[dict]:
    result = CliRunner().invoke(app, ["judge", *map(str, files), "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_copies_of_a_file_are_no_sessions(tmp_path: Path):
    paths = [tmp_path / f"pc{number}.csv" for number in range(1, 6)]
    for path in paths:
        PLAIN.to_csv(path, index=False)
    (row,) = judged(*paths)
    assert (row["verdict"], row["estimate"]) == ("inconclusive", None)
    assert f"session 2 repeats session 1, value by value ({paths[1]}: row " in row["notes"][0]
    assert f", {paths[0]}: row " in row["notes"][0]
    assert row["notes"][0].count("session 2 repeats session 1") == 1


def test_pasted_rows_are_not_independent():
    for times in (2, 40):
        (row,) = judge_frame(pd.concat([PLAIN] * times, ignore_index=True))
        assert (row.verdict, row.estimate) == ("inconclusive", None)
        assert (
            "box has copied rows: from frame: row 13 on they repeat those from frame: row 1 on" in row.reason
        )
    (alone,) = judge_frame(PLAIN)
    assert "copied" not in alone.reason


def test_rows_that_are_pasted_into_the_middle_are_found():
    frame = WAYS["unpaired values"](samples(LOSS, sessions=1, blocks=60))
    (row,) = judge_frame(pd.concat([frame[:80], frame[10:30], frame[80:]], ignore_index=True))
    assert row.verdict == "inconclusive"
    assert "from frame: row 80 on they repeat those from frame: row 10 on" in row.reason


@pytest.mark.parametrize("system", ["box", "host"])
def test_a_session_under_another_number_is_a_copy_and_one_system_of_it_is_enough(system: str):
    frame = samples(LOSS, metrics=2).astype({"session": str})
    taken = frame[(frame["metric"] == "m0") & (frame["session"] == "2")]
    fresh = samples(LOSS, metrics=1, sessions=1, seed=9).assign(session="9")
    whole, half = taken.assign(session="9"), fresh.copy()
    half.loc[half["system"] == system, "value"] = taken.loc[taken["system"] == system, "value"].to_numpy()
    for more in (whole, half):
        first, second = judge_frame(pd.concat([frame, more], ignore_index=True))
        assert first.verdict == "inconclusive"
        assert "session 9 repeats session 2, value by value (frame: row 12" in first.reason
        assert second.verdict == "refuted"
    assert judge_frame(pd.concat([frame, fresh], ignore_index=True))[0].verdict == "refuted"


def test_a_file_of_one_system_is_not_also_that_of_another(tmp_path: Path):
    samples({"old": 0.0}).drop(columns="system").to_csv(tmp_path / "old.csv", index=False)
    shutil.copy(tmp_path / "old.csv", tmp_path / "new.csv")
    (row,) = judged(f"old={tmp_path}/old.csv", f"new={tmp_path}/new.csv", "--baseline", "old")
    assert row["verdict"] == "inconclusive"
    assert row["notes"][0].startswith("new has the values of old, one by one (")


@pytest.mark.parametrize("name", ["hyperfine_1.json", "google_benchmark_old.json"])
def test_a_copy_of_a_tools_file_is_refused_by_the_names_of_both(tmp_path: Path, name: str):
    shutil.copy(DATA / name, tmp_path / "copy.json")
    with pytest.raises(ForeignError, match=rf"copy\.json: the same as .*{name}, byte for byte; leave it out"):
        gather([str(DATA / name), str(tmp_path / "copy.json")])


def test_counts_repeat_by_themselves(tmp_path: Path):
    frame = pd.DataFrame(
        {"metric": "bytes", "system": ["host", "box"], "value": [4096, 4096], "better": "lower"}
    )
    paths = [tmp_path / f"{number}.csv" for number in range(5)]
    for path in paths:
        frame.to_csv(path, index=False)
    (row,) = judged(*paths)
    assert (row["verdict"], row["n_sessions"]) == ("supported", 5)
    assert any("the values do not vary: counts, copies, or a clock" in note for note in row["notes"])


@pytest.mark.parametrize("way", ["by block", "by session", "unpaired sessions", "unpaired values"])
@pytest.mark.parametrize("tick", [5.0, 1.0, 0.1, 0.01])
def test_ticks_of_a_coarse_clock_are_not_taken_for_copies(way: str, tick: float):
    frame = samples(LOSS, metrics=50, sessions=8, blocks=3, noise=0.01, seed=int(100 * tick))
    frame["value"] = (frame["value"] / tick).round() * tick
    rows = judge_frame(WAYS[way](frame))
    assert not [row.reason for row in rows if "cop" in row.reason and "do not vary" not in row.reason]


def test_a_machine_that_is_fast_and_slow_by_turns_repeats_by_itself():
    rng = np.random.default_rng(1)
    parts = []
    for number in range(20):
        for system in ("host", "box"):
            drift = np.cumsum(0.03 * rng.standard_normal(200))
            value = 20 + np.round(drift, 1) + np.tile([0.0, 1.0], 100)
            parts.append(pd.DataFrame({"metric": f"m{number}", "system": system, "value": value}))
    rows = judge_frame(pd.concat(parts, ignore_index=True).assign(better="lower"))
    assert not [row.reason for row in rows if "copied" in row.reason]


def test_the_chance_of_equal_values_follows_their_step_and_spread():
    values = np.round(np.random.default_rng(1).normal(20, 1, 20_000), 1)
    pairs = np.mean(values[::2] == values[1::2])
    assert math.exp(equal_by_chance(values)) == pytest.approx(pairs, rel=0.15)
    assert equal_by_chance(np.ones(9)) == 0.0
    assert equal_by_chance(np.array([3.0])) == 0.0
