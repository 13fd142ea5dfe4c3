"""`ninetynine judge FILE...`: what it prints, writes and exits with; never a traceback, nothing half done."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import msgspec
import pandas as pd
import pytest
from typer.testing import CliRunner

from bench import store
from bench.cli import app
from bench.foreign import judge_frame
from bench.model import Sample, Verdict
from tests.bench.foreign.foreign_samples import samples
from tests.paths import REPOSITORY

DATA = Path(__file__).parent / "data"


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """Tables stay tables: in a pipe of 80 columns a long row is shown a cell a line."""
    monkeypatch.setenv("COLUMNS", "200")


def invoke(*arguments: object, given: bytes | None = None):
    result = CliRunner().invoke(app, ["judge", *map(str, arguments)], input=given)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


@pytest.fixture
def slow(tmp_path: Path) -> Path:
    """A CSV in which box has lost 5 % in two metrics."""
    path = tmp_path / "samples.csv"
    samples({"host": 0.0, "box": -0.05}, metrics=2).to_csv(path, index=False)
    return path


def test_it_says_what_was_recognised_and_reads_each_row_aloud(slow: Path):
    result = invoke(slow)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0] == "recognised CSV (commas): 2 systems, 2 metrics, 120 values"
    assert "m0" in result.stdout
    assert "of host's performance, between" in result.stdout
    assert lines[-1].startswith("2 rows: 2 refuted; each row by itself")


def test_the_page_shows_what_its_first_example_prints(tmp_path: Path):
    page = (REPOSITORY / "docs" / "judge.md").read_text()
    data = page.partition("<<'CSV'\n")[2].partition("CSV\n")[0]
    (tmp_path / "samples.csv").write_text(data)
    shown = page.partition("prints\n\n")[2].partition("\n\n")[0]
    printed = invoke(tmp_path / "samples.csv").stdout
    assert [line.split() for line in printed.splitlines()] == [line.split() for line in shown.splitlines()]


def test_json_is_the_list_of_verdicts_and_nothing_else(slow: Path):
    result = invoke(slow, "--json", "--margin", 0.9, "--alpha", 0.01)
    found = msgspec.json.decode(result.stdout, type=list[Verdict])
    assert found == judge_frame(pd.read_csv(slow), margin=0.9, alpha=0.01)
    assert "recognised CSV" in result.stderr
    schema = REPOSITORY / "docs" / "schema" / "verdicts.json"
    jsonschema.validate(json.loads(result.stdout), json.loads(schema.read_text()))


def test_out_writes_what_json_prints(slow: Path, tmp_path: Path):
    shown = invoke(slow, "--json", "--out", tmp_path / "verdicts.json").stdout
    assert json.loads((tmp_path / "verdicts.json").read_bytes()) == json.loads(shown)
    assert store.load_verdicts(tmp_path)


def test_out_never_replaces_a_file_to_judge_and_says_where_it_cannot_write(slow: Path, tmp_path: Path):
    before = slow.read_bytes()
    result = invoke(slow, "--out", slow)
    assert (result.exit_code, slow.read_bytes()) == (2, before)
    assert "is one of the files to judge" in result.stderr
    result = invoke(slow, "--out", tmp_path / "no" / "where.json")
    assert result.exit_code == 1
    assert "where.json" in result.stderr


def test_standard_input_is_a_file_like_any(slow: Path):
    assert invoke("-", given=slow.read_bytes()).stdout == invoke(slow).stdout
    assert "given twice" in invoke("-", "a=-", given=slow.read_bytes()).stderr


def test_a_file_whose_name_has_an_equals_sign_is_a_file(slow: Path, tmp_path: Path):
    odd = tmp_path / "a=b.csv"
    slow.rename(odd)
    assert invoke(odd).exit_code == 0


def test_two_named_tables_without_systems_are_compared(tmp_path: Path):
    for name, effect in (("old", 0.0), ("new", 0.05)):
        frame = samples({name: effect}, seed=len(name) + int(100 * effect))
        frame.drop(columns="system").to_csv(tmp_path / f"{name}.csv", index=False)
    result = invoke(f"old={tmp_path}/old.csv", f"new={tmp_path}/new.csv", "--baseline", "old")
    assert "new runs at 105" in result.stdout
    assert "supported" in result.stdout


def test_files_of_the_same_systems_are_sessions(tmp_path: Path):
    paths = []
    for seed in range(5):
        frame = samples({"host": 0.0, "box": 0.02}, sessions=1, seed=seed).drop(columns="session")
        paths.append(tmp_path / f"{seed}.csv")
        frame.to_csv(paths[-1], index=False)
    (row,) = json.loads(invoke(*paths, "--json").stdout)
    assert (row["n_sessions"], row["n_pairs"], row["verdict"]) == (5, 25, "supported")


def test_files_of_different_metrics_are_no_sessions(slow: Path, tmp_path: Path):
    frame = pd.read_csv(slow)
    paths = []
    for metric, rows in frame.groupby("metric"):
        paths.append(tmp_path / f"{metric}.csv")
        rows.to_csv(paths[-1], index=False)
    assert json.loads(invoke(*paths, "--json").stdout) == json.loads(invoke(slow, "--json").stdout)


def test_sessions_that_files_name_are_kept_apart_by_file(slow: Path, tmp_path: Path):
    samples({"host": 0.0, "box": -0.05}, metrics=2, seed=2).to_csv(tmp_path / "again.csv", index=False)
    rows = json.loads(invoke(slow, tmp_path / "again.csv", "--json").stdout)
    assert {row["n_sessions"] for row in rows} == {12}


def test_metrics_that_only_one_system_has_are_named(tmp_path: Path):
    hyperfine, google = DATA / "hyperfine_1.json", DATA / "google_benchmark_old.json"
    result = invoke(hyperfine, google, "--baseline", "google_benchmark_old")
    names = "BM_Sum/64, BM_Sum/4096, BM_Sort/4096, BM_Broken, BM_Skip"
    assert f"compared with nothing, as only one system has it: {names}\n" in result.stdout
    assert "compared with nothing" not in invoke(hyperfine).stdout


def test_the_samples_of_a_run_are_judged_without_its_invalid_ones(tmp_path: Path):
    frame = samples({"host": 0.0, "box": -0.05})
    rows = [
        Sample(
            run="r",
            session=int(row.session),
            block=int(row.block),
            order=k,
            scenario="cpu",
            arm=row.system,
            metric=row.metric,
            unit="s",
            better=row.better,
            value=float(row.value),
            start_ns=k,
            duration_ns=1,
            valid=k != 5,
            set_aside="" if k != 5 else "rejected",
            reason="" if k != 5 else "the tool failed",
        )
        for k, row in enumerate(frame.itertuples())
    ]
    store.write_samples(tmp_path, rows)
    result = invoke(tmp_path / store.SAMPLES, "--json")
    (row,) = json.loads(result.stdout)
    assert (row["n_sessions"], row["n_pairs"], row["verdict"]) == (6, 29, "refuted")
    assert any("1 invalid of box left out (the tool failed)" in note for note in row["notes"])
    assert "recognised samples of a run" in result.stderr
    assert msgspec.json.decode(result.stdout, type=list[Verdict]) == judge_frame(store.frame(rows))


def test_a_parquet_file_with_the_columns_of_the_csv_is_judged(slow: Path, tmp_path: Path):
    frame = pd.read_csv(slow)
    frame.to_parquet(tmp_path / "table.parquet")
    assert json.loads(invoke(tmp_path / "table.parquet", "--json").stdout) == json.loads(
        invoke(slow, "--json").stdout
    )
    frame.drop(columns="better").to_parquet(tmp_path / "less.parquet")
    assert "columns missing: better" in invoke(tmp_path / "less.parquet").stderr


def test_a_run_is_judged_by_its_claims_and_takes_no_margin(tmp_path: Path):
    result = invoke(tmp_path, "--margin", 0.9, "--holm")
    assert result.exit_code == 2
    assert "leave out --margin --holm" in result.stderr
    result = invoke(tmp_path)
    assert result.exit_code == 1
    assert re.search(rf"{tmp_path}: .*run\.json", result.stderr)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--baseline", "nobody"], "'nobody'.*'host', 'box'"),
        (["--margin", "0"], r"\bmargin 0\.0\b"),
        (["--margin", "99"], r"\bmargin 99 is above 1\b"),
        (["--alpha", "0.7"], r"\balpha 0\.7\b"),
        (["--by", "n"], "--by n: "),
        (["--margin", "much"], "Invalid value"),
    ],
)
def test_wrong_use_exits_with_2(slow: Path, options: list[str], says: str):
    result = invoke(slow, *options)
    assert result.exit_code == 2
    assert re.search(says, result.stderr)
    assert not result.stdout


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """A folder of what cannot be judged."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "empty.csv").touch()
    (tmp_path / "blank.json").write_text(" \n")
    (tmp_path / "loop").symlink_to("loop")
    whole = (DATA / "hyperfine_1.json").read_bytes()
    (tmp_path / "cut.json").write_bytes(whole[: len(whole) // 2])
    frame = samples()
    frame.to_parquet(tmp_path / "cut.parquet")
    os.truncate(tmp_path / "cut.parquet", 200)
    (tmp_path / "cut.csv").write_text(frame.to_csv(index=False)[:-9])
    return tmp_path


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gone.csv", r"gone\.csv: .*No such file or directory"),
        ("gone/", "gone/: .*No such file or directory"),
        ("folder", "/folder: "),
        ("empty.csv", r"empty\.csv: "),
        ("blank.json", r"blank\.json: "),
        ("loop", "loop: .*Too many levels of symbolic links"),
        ("cut.json", r"cut\.json: .*JSON"),
        ("cut.parquet", r"cut\.parquet: .*Parquet"),
        ("cut.csv", r"cut\.csv: row 61: \D*5\D+6\b"),
        ("x" * 300, "File name too long"),
        ("/dev/null", "/dev/null: "),
    ],
)
@pytest.mark.parametrize("beside", [False, True])
def test_a_file_that_cannot_be_judged_is_named_and_nothing_is_written(
    broken: Path, slow: Path, name: str, says: str, beside: bool
):
    before = sorted(broken.rglob("*"))
    more = [slow] if beside else []
    result = invoke(*more, os.path.join(broken, name), "--out", broken / "out.json")  # noqa: PTH118
    assert result.exit_code in (1, 2)
    assert result.stderr.startswith("ninetynine: error: ")
    assert "Traceback" not in result.output
    assert not result.stdout
    assert sorted(broken.rglob("*")) == before
    if not (name == "folder" and not beside):
        assert re.search(says, result.stderr.replace("\n", ""))


@pytest.mark.programs
@pytest.mark.parametrize("options", [(), ("--json",)])
def test_a_full_disk_and_a_plain_terminal_are_borne(slow: Path, options: tuple[str, ...]):
    command = [sys.executable, "-m", "bench", "judge", str(slow), *options]
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "ninetynine: error: write to standard output: No space left"
    )
    slow.write_text(slow.read_text().replace("m0", "µ–λ"))
    ascii_only = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run(command, capture_output=True, env=ascii_only)
    assert done.returncode == 0
    assert b"-\\u03bb" in done.stdout


def test_names_that_cannot_be_printed_are_escaped(slow: Path, tmp_path: Path):
    frame = pd.read_csv(slow)
    frame["metric"] = "bell\x07 [red]ansi\x1b[2J"
    frame.to_csv(slow, index=False)
    result = invoke(slow)
    assert "bell\\x07 [red]ansi\\x1b[2J" in result.stdout
    surrogate = json.loads((DATA / "hyperfine_1.json").read_text())
    surrogate["results"][0]["command"] = "\ud800"
    (tmp_path / "s.json").write_text(json.dumps(surrogate))
    assert invoke(tmp_path / "s.json", "--baseline", "box").exit_code == 0
    assert invoke(tmp_path / "s.json", "--baseline", "box", "--json").exit_code == 0
