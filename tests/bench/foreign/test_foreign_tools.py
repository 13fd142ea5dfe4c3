"""Files as hyperfine 1.19 and Google Benchmark 1.9 wrote them, and of pytest-benchmark, made here."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.foreign import ChoiceError, ForeignError, judge_table, tools
from bench.foreign.gather import gather

DATA = Path(__file__).parent / "data"
HYPERFINE = [str(DATA / f"hyperfine_{k}.json") for k in range(1, 6)]
OLD, NEW = (str(DATA / f"google_benchmark_{one}.json") for one in ("old", "new"))

SUITE = """
import pytest

@pytest.mark.parametrize("size", [10, 1000])
@pytest.mark.parametrize("how", ["sum", "max"])
def test_fold(benchmark, how, size):
    benchmark.pedantic({"sum": sum, "max": max}[how], args=(range(size),), rounds=12, iterations=20)

@pytest.mark.benchmark(group="sorting")
def test_sort(benchmark):
    benchmark.pedantic(sorted, args=(range(100),), rounds=6, iterations=5)
"""


ALONE = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
"""Not a part of this test run: pytest-benchmark measures nothing where it sees several workers."""


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> list[str]:
    """Two files of pytest-benchmark with all values, and one as --benchmark-save leaves it, without."""
    where = tmp_path_factory.mktemp("suite")
    (where / "test_suite.py").write_text(SUITE)
    for name in ("before", "after"):
        line = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--benchmark-storage=kept"]
        line += [f"--benchmark-json={name}.json", "--benchmark-save=whole"]
        subprocess.run(line, cwd=where, check=True, capture_output=True, env=ALONE)
    saved = next((where / "kept").rglob("*_whole.json"))
    return [str(where / "before.json"), str(where / "after.json"), str(saved)]


def edited(tmp_path: Path, source: str, change) -> str:
    whole = json.loads(Path(source).read_text())
    change(whole)
    path = tmp_path / "edited.json"
    path.write_text(json.dumps(whole))
    return str(path)


def metrics(table) -> set[str]:
    return set(table.frame["metric"])


# ---- hyperfine -------------------------------------------------------------------------------------------


def test_hyperfine_commands_are_systems_with_one_metric():
    found = gather(HYPERFINE[:1])
    assert (found.kind, found.systems, metrics(found)) == ("hyperfine", ["host", "box"], {"time"})
    expected = json.loads(Path(HYPERFINE[0]).read_text())["results"][0]["times"]
    assert found.frame["value"][found.frame["system"] == "host"].tolist() == expected
    assert set(found.frame["better"]) == {"lower"}
    (row,) = judge_table(found, "host", 0.99, 0.05)
    assert "unpaired: 4 and 4 values" in row.reason
    assert "measured one command after the other" in row.reason


def test_what_a_tool_cannot_show_is_said_of_its_own_metrics(tmp_path: Path):
    table = tmp_path / "more.csv"
    rows = [f"size,{one},{value},lower\n" for one in ("host", "box") for value in (3, 4, 5, 7)]
    table.write_text("metric,system,value,better\n" + "".join(rows))
    found = judge_table(gather([HYPERFINE[0], str(table)]), "host", 0.99, 0.05)
    said = {row.metric: "one command after the other" in row.reason for row in found}
    assert said == {"time": True, "size": False}


def test_several_files_of_hyperfine_are_sessions():
    found = gather(HYPERFINE)
    assert found.kind == "5 files of hyperfine"
    (row,) = judge_table(found, "host", 0.99, 0.05)
    assert (row.n_sessions, row.n_pairs) == (5, 5)
    assert "paired by session" in row.reason
    assert "one command after the other" not in row.reason


def test_a_named_file_is_of_that_system_and_the_same_name_again_is_its_next_session():
    a, b, c, d = HYPERFINE[:4]
    found = gather([f"old={a}", f"new={b}", f"old={c}", f"new={d}"])
    assert found.systems == ["old", "new"]
    assert metrics(found) == {"host", "box"}
    assert {row.n_sessions for row in judge_table(found, "old", 0.99, 0.05)} == {2}


def test_a_lone_command_of_a_named_file_is_compared_however_it_is_spelled(tmp_path: Path):
    paths = []
    for place in (0, 1):
        whole = json.loads(Path(HYPERFINE[0]).read_text())
        (tmp_path / f"{place}.json").write_text(json.dumps({"results": whole["results"][place : place + 1]}))
        paths.append(str(tmp_path / f"{place}.json"))
    assert metrics(gather([f"old={paths[0]}", f"new={paths[1]}"])) == {"time"}


def test_a_parameter_can_name_the_systems_and_failed_runs_are_no_result():
    found = gather([str(DATA / "hyperfine_failures.json")], by="n")
    assert found.systems == ["1", "2"]
    (row,) = judge_table(found, "1", 0.99, 0.05)
    assert (row.verdict, row.estimate) == ("inconclusive", None)
    assert row.notes[0].startswith("2 failed: 4 of 4 runs did not end with status 0")
    with pytest.raises(ChoiceError, match=r"'m'.*\bn\)"):
        gather([str(DATA / "hyperfine_failures.json")], by="m")


def test_one_failed_run_among_many_is_enough_for_no_verdict_and_a_signal_is_one(tmp_path: Path):
    for code in (1, None):

        def fails(whole, code=code):
            whole["results"][1]["exit_codes"][2] = code

        (row,) = judge_table(gather([edited(tmp_path, HYPERFINE[0], fails)]), "host", 0.5, 0.05)
        assert (row.verdict, row.estimate) == ("inconclusive", None)
        assert row.notes[0].startswith("box failed: 1 of 4 runs did not end with status 0")


# ---- Google Benchmark ------------------------------------------------------------------------------------


def test_two_files_of_google_benchmark_are_two_systems_and_aggregates_are_left_out():
    found = gather([f"old={OLD}", f"new={NEW}"])
    assert found.systems == ["old", "new"]
    assert metrics(found) == {"BM_Sum/64", "BM_Sum/4096", "BM_Sort/4096", "BM_Broken", "BM_Skip"}
    sizes = found.frame.groupby(["metric", "system"]).size()
    assert sizes["BM_Sum/64", "old"] == 5
    rows = {row.metric: row for row in judge_table(found, "old", 0.99, 0.05)}
    assert 0.5 < rows["BM_Sort/4096"].estimate < 2.0
    assert "from one process" in rows["BM_Sort/4096"].reason
    assert rows["BM_Broken"].verdict == "inconclusive"
    assert rows["BM_Broken"].reason == "new failed: no such device; old failed: no such device"
    assert rows["BM_Skip"].reason == "new failed: not here; old failed: not here"


def test_files_are_called_by_their_stems_and_by_their_paths_where_stems_agree(tmp_path: Path):
    assert gather([OLD, NEW]).systems == ["google_benchmark_old", "google_benchmark_new"]
    (tmp_path / "google_benchmark_old.json").write_bytes(Path(NEW).read_bytes())
    again = str(tmp_path / "google_benchmark_old.json")
    assert gather([OLD, again]).systems == [OLD, again]


def test_times_are_seconds_whatever_the_unit(tmp_path: Path):
    def in_milliseconds(whole):
        for one in whole["benchmarks"]:
            if one["time_unit"] == "us":
                one["time_unit"], one["real_time"] = "ms", one["real_time"] / 1e3

    other = edited(tmp_path, OLD, in_milliseconds)
    rows = judge_table(gather([f"us={OLD}", f"ms={other}"]), "us", 0.9, 0.05)
    (sort,) = (row for row in rows if row.metric == "BM_Sort/4096")
    assert sort.estimate == pytest.approx(1.0)


def test_the_benchmarks_of_one_file_are_systems():
    found = gather([OLD])
    assert "BM_Sum/64" in found.systems
    assert metrics(found) == {"time"}
    rows = judge_table(found, "BM_Sum/4096", 0.99, 0.05)
    (faster,) = (row for row in rows if row.arm == "BM_Sum/64")
    assert faster.verdict == "supported"


def test_old_files_without_run_type_and_named_arguments_are_understood(tmp_path: Path):
    def as_before_1_5(whole):
        for one in whole["benchmarks"]:
            for key in ("run_type", "run_name", "aggregate_name"):
                one.pop(key, None)
            one["name"] = one["name"].replace("BM_Sum/", "BM_Sum/n:")

    path = edited(tmp_path, OLD, as_before_1_5)
    found = gather([path])
    assert "BM_Sum/n:64" in found.systems
    assert (found.frame["system"] == "BM_Sum/n:64").sum() == 5

    def only_sums(whole):
        as_before_1_5(whole)
        whole["benchmarks"] = [one for one in whole["benchmarks"] if "n:" in one["name"]]

    by = gather([edited(tmp_path, OLD, only_sums)], by="n")
    assert (by.systems, metrics(by)) == (["64", "4096"], {"BM_Sum"})


def test_aggregates_alone_are_refused_with_the_flag_that_helps(tmp_path: Path):
    def only_aggregates(whole):
        whole["benchmarks"] = [one for one in whole["benchmarks"] if one["run_type"] == "aggregate"]

    with pytest.raises(ForeignError, match=r"'BM_Sum/64'.*--benchmark_repetitions"):
        gather([edited(tmp_path, OLD, only_aggregates)])


# ---- pytest-benchmark ------------------------------------------------------------------------------------


@pytest.mark.programs
def test_two_files_of_pytest_benchmark_are_two_systems(made: list[str]):
    found = gather(made[:2])
    assert found.kind == "2 files of pytest-benchmark"
    assert found.systems == ["before", "after"]
    assert metrics(found) == {f"test_fold[{how}-{n}]" for how in ("sum", "max") for n in (10, 1000)} | {
        "test_sort"
    }
    rows = judge_table(found, "before", 0.01, 0.05)
    assert {row.verdict for row in rows} == {"supported"}
    assert all("from one process" in row.reason for row in rows)


@pytest.mark.programs
def test_the_benchmarks_of_one_file_are_systems_inside_their_groups(made: list[str]):
    found = gather(made[:1])
    assert metrics(found) == {"time", "sorting"}
    rows = {row.arm: row for row in judge_table(found, "test_fold[sum-10]", 0.99, 0.05)}
    assert rows["test_fold[sum-1000]"].verdict == "refuted"
    assert rows["test_sort"].verdict == "inconclusive"


@pytest.mark.programs
def test_a_parameter_of_the_benchmarks_names_the_systems(made: list[str], tmp_path: Path):
    def only_folds(whole):
        whole["benchmarks"] = [one for one in whole["benchmarks"] if one["params"]]

    found = gather([edited(tmp_path, made[0], only_folds)], by="how")
    assert sorted(found.systems) == ["max", "sum"]
    assert metrics(found) == {"test_fold[size=10]", "test_fold[size=1000]"}
    with pytest.raises(ChoiceError, match=r"'test_sort'.*'how'"):
        gather(made[:1], by="how")


@pytest.mark.programs
def test_a_saved_file_without_data_names_the_flag_that_helps(made: list[str]):
    with pytest.raises(ForeignError, match="--benchmark-json"):
        gather(made[2:])


@pytest.mark.programs
def test_benchmarks_of_one_name_in_two_modules_go_by_their_full_names(made: list[str], tmp_path: Path):
    def twins(whole):
        other = json.loads(json.dumps(whole["benchmarks"][0]))
        other["fullname"] = "elsewhere.py::" + other["name"]
        whole["benchmarks"].append(other)

    found = gather([edited(tmp_path, made[0], twins)])
    assert any(name.startswith("elsewhere.py::") for name in found.systems)


# ---- damaged and unknown ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{}", "--export-json"),
        ("[1, 2]", r"\ba list\b.*--export-json"),
        ('{"runs": []}', r"\bruns\b.*--export-json"),
        ('{"results": []}', "hyperfine"),
        ('{"results": [{"command": 3}]}', r"Expected `str`, got `int` - at `\$\.res"),
        ('{"results": [{"command": "a", "times": [1, "x"]}]}', r"at `\$\.results\[0\]\.times\[1\]`"),
        ('{"results": [{"command": "a"}]}', "'a'.*--export-json"),
        ('{"machine_info": {}, "benchmarks": [{"name": "a"}]}', "missing required field `fullname`"),
        ('{"context": {}, "benchmarks": [{"name": "a", "time_unit": "h"}]}', r"\[0\]\.time_unit`"),
        ("[" * 100_000, "JSON"),
        ('{"results": [' + "9" * 5000, "JSON"),
    ],
    ids=range(11),
)
def test_json_that_is_not_as_we_know_it_is_named_with_the_place(tmp_path: Path, text: str, says: str):
    path = tmp_path / "odd.json"
    path.write_text(text)
    with pytest.raises(ForeignError, match=f"^{re.escape(str(path))}: .*{says}"):
        gather([str(path)])


@pytest.mark.parametrize("source", [HYPERFINE[0], OLD])
def test_a_file_cut_off_anywhere_is_refused(source: str):
    whole = Path(source).read_bytes().rstrip()
    for at in range(1, len(whole), max(1, len(whole) // 60)):
        with pytest.raises(ForeignError, match=r"^t\.json: "):
            tools.read(whole[:at], "t.json")


KEYS = ["command", "times", "name", "stats", "data", "real_time", "run_type", "fullname"]
junk = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(["results", "benchmarks"]),
    st.lists(junk, max_size=3),
    st.sampled_from(["machine_info", "context"]),
)
def test_whatever_a_tools_file_holds_it_is_read_or_refused_by_name(key: str, value, kind: str):
    data = json.dumps({key: value, kind: {}}).encode()
    try:
        found = tools.read(data, "t.json")
    except ForeignError as error:
        assert "t.json" in str(error)
    else:
        assert found.benchmarks
