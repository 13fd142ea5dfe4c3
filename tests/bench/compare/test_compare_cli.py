"""`ninetynine compare`: what it prints, and that each exit status means one thing only."""

import json
import os
import re
import shlex
import shutil

import msgspec
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from bench import store
from bench.cli import app, comparing
from bench.cli.dependencies import Dependencies, use
from bench.testing import FakeBackend, FakeScenario, fake_host, fake_image
from reports import appendix
from tests.bench.compare.made import METRICS, drawn, record, write

LOST = {("cpu.float", "runtime"): 0.93}


@pytest.fixture(autouse=True)
def wide(monkeypatch):
    """Tables stay tables: in a pipe of 80 columns a long row is shown a cell a line."""
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr("bench.cli.console.program", lambda: "ninetynine")


def invoke(*arguments: object):
    return CliRunner().invoke(app, ["compare", *(str(one) for one in arguments)])


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Directories old, same, slower (5 % in one metric), noisy; not to be written to."""
    here = tmp_path_factory.mktemp("runs")
    write(here / "old", drawn(seed=1))
    write(here / "same", drawn(seed=2))
    write(here / "slower", drawn(effects=LOST, seed=3))
    write(here / "noisy", drawn(noise=0.2, seed=4))
    return here


@pytest.mark.parametrize(
    ("new", "gate", "status"),
    [
        ("same", True, 0),
        ("slower", True, 1),
        ("noisy", True, 2),
        ("same", False, 0),
        ("slower", False, 0),
        ("noisy", False, 0),
    ],
)
def test_only_a_gate_turns_an_answer_into_a_status(runs, new, gate, status):
    result = invoke(runs / "old", runs / new, "--margin", 0.98, *(["--gate"] if gate else []))
    assert result.exit_code == status, result.output
    assert result.stderr == ""


def test_the_answer_comes_first_and_the_table_is_sorted_worst_first(runs):
    lines = invoke(runs / "old", runs / "slower").stdout.splitlines()
    assert lines[0] == "worse: cpu.float on runtime (of 3 primary readings)"
    assert lines[1].startswith("cpu.float on runtime: NEW runs at 9")
    head = next(place for place, line in enumerate(lines) if line.startswith("reading"))
    assert lines[head + 1].split()[:4] == ["worse", "primary", "cpu.float", "runtime"]
    assert "NEW / OLD [interval]" in lines[head]


def test_a_narrow_table_names_its_cells_as_a_wide_one_its_columns(runs, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    assert "  NEW / OLD [interval]: 9" in invoke(runs / "old", runs / "slower").stdout


def test_notes_fit_the_width(runs, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    other = write(tmp_path / "other", drawn(seed=2), host=msgspec.structs.replace(fake_host(), kernel="7.0"))
    lines = invoke(runs / "old", other, "--allow", "kernel").stdout.splitlines()
    first = next(place for place, line in enumerate(lines) if line.startswith("note: kernel differs"))
    assert max(map(len, lines[first : first + 2])) <= 40


def test_the_answer_of_a_long_table_stands_at_its_end_too(runs, monkeypatch):
    monkeypatch.setattr(comparing, "SCREEN", 2)
    lines = invoke(runs / "old", runs / "slower").stdout.splitlines()
    assert lines[-1] == lines[0]


def test_what_only_one_of_the_runs_has_is_counted_by_arm_and_reason(runs, tmp_path):
    samples = drawn(seed=2)
    less = write(tmp_path / "less", samples[~samples["metric"].isin(["cpu.float", "cpu.syscall"])])
    shorter = invoke(runs / "old", less).stdout
    assert re.search(r"^gone: 2 readings of runtime \(NEW did not measure it\)$", shorter, re.M), shorter
    longer = invoke(less, runs / "old").stdout
    assert re.search(r"^new: 2 readings of runtime \(OLD did not have it\)$", longer, re.M), longer
    for shown in (shorter, longer):
        assert not [line for line in shown.splitlines() if line.split()[:1] in (["gone"], ["new"])]


def test_json_is_one_document_with_everything(runs):
    result = invoke(runs / "old", runs / "slower", "--gate", "--json")
    found = json.loads(result.stdout)
    assert (found["answer"], found["status"], result.exit_code) == ("worse", 1, 1)
    assert found["worse"] == ["cpu.float on runtime"]
    assert found["old"]["directory"] == str(runs / "old")
    first = found["rows"][0]
    assert (first["state"], first["n_old"], first["n_new"]) == ("worse", 8, 8)
    assert first["verdict"]["verdict"] == "refuted"
    assert found["differences"] == []


def test_unlike_hosts_are_refused_item_by_item(runs, tmp_path):
    host = msgspec.structs.replace(fake_host(), kernel="7.0", governor="powersave")
    other = write(tmp_path / "other", drawn(seed=2), host=host)
    result = invoke(runs / "old", other, "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["answer"], found["status"]) == (3, "broken", 3)
    assert [one["item"] for one in found["differences"]] == ["kernel", "governor"]
    assert "add --allow kernel --allow governor" in result.stderr
    allowed = invoke(runs / "old", other, "--allow", "kernel", "--allow", "governor")
    assert allowed.exit_code == 0
    assert "note: kernel differs, as allowed: 6.0.0-fake x86_64 → 7.0" in allowed.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Missing argument"),
        (["old", "same", "more"], "unexpected extra argument"),
        (["old", "same", "--margin", "much"], "--margin"),
        (["old", "same", "--no-such-flag"], "No such option"),
        (["old", "same", "--margin", "99"], r"\bmargin\b.*\b99: "),
        (["old", "same", "--alpha", "0"], r"\balpha\b.*\b0: "),
        (["old", "same", "--allow", "weather"], r"'weather'.*\bcpu\b"),
        (["old"], r"\bNEW\b.*--live"),
        (["old", "same", "--live"], r"\bNEW\b.*--live"),
        (["old", "same", "--out", "x"], "--out .*--live"),
        (["old", "nowhere"], "nowhere: .*ninetynine list runs"),
    ],
)
@pytest.mark.parametrize("gate", [True, False], ids=["gate", "plain"])
def test_wrong_use_is_broken_and_never_undecided(runs, monkeypatch, arguments, message, gate):
    monkeypatch.chdir(runs)
    result = invoke(*arguments, *(["--gate"] if gate else []))
    assert result.exit_code == 3, result.output
    assert re.search(message, result.stderr)


def test_help_has_an_example_and_status_0():
    result = invoke("--help")
    assert result.exit_code == 0
    assert "ninetynine compare results/monday results/tuesday --gate" in " ".join(result.stdout.split())


def test_a_bug_of_ours_is_broken_and_not_worse(runs, monkeypatch):
    def crash(*_arguments, **_options):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(comparing, "compare", crash)
    result = invoke(runs / "old", runs / "same", "--gate")
    assert result.exit_code == 3
    assert "ZeroDivisionError: a bug" in result.stderr


@pytest.mark.parametrize("name", [store.RUN, store.SAMPLES])
def test_a_run_cut_off_anywhere_is_broken(runs, tmp_path, name):
    cut = tmp_path / "cut"
    shutil.copytree(runs / "same", cut)
    size = (cut / name).stat().st_size
    for left in (size - 2, size // 2, 1, 0):
        os.truncate(cut / name, left)
        result = invoke(runs / "old", cut, "--gate")
        assert result.exit_code == 3, (left, result.output)
        assert f"{cut / name}: " in result.stderr
    (cut / name).unlink()
    assert invoke(cut, runs / "old", "--gate").exit_code == 3


def test_samples_that_lack_a_column_are_broken(runs, tmp_path):
    bad = tmp_path / "bad"
    shutil.copytree(runs / "same", bad)
    table = pq.read_table(bad / store.SAMPLES)
    pq.write_table(table.drop_columns(["value"]), bad / store.SAMPLES)
    assert invoke(runs / "old", bad, "--gate").exit_code == 3


def test_a_run_of_schema_1_0_compares_with_one_of_today(runs, tmp_path):
    """As it was written before looks, controls and the conditions of a slice were recorded."""
    samples = drawn(seed=5)
    past = write(tmp_path / "past", samples)
    stored = json.loads((past / store.RUN).read_bytes())
    stored["schema"] = "1.0"
    for name in ("closed", "sessions_run"):
        del stored[name]
    del stored["plan"]["looks"]
    stored["plan"]["arms"] = [
        {key: arm[key] for key in ("name", "backend", "role")} for arm in stored["plan"]["arms"]
    ]
    (past / store.RUN).write_text(json.dumps(stored))
    assert "take" not in pq.read_schema(past / store.SAMPLES).names
    recent = samples.assign(
        stall_share=0.0, steal_share=None, frequency_mhz=None, switches=1, busy_s=0.1, take=0
    )
    now = write(tmp_path / "now", recent)
    for pair in ((past, now), (now, past)):
        assert invoke(*pair, "--gate").exit_code == 0


def test_a_run_of_a_schema_to_come_is_broken(runs, tmp_path):
    later = write(tmp_path / "later", drawn(seed=2), schema="2.0")
    result = invoke(runs / "old", later, "--gate")
    assert result.exit_code == 3
    assert "read it with the version of ninetynine that wrote it" in result.stderr


class Steady(FakeScenario):
    """A workload that no backend slows, nor more work."""

    def run(self, context):
        return [msgspec.structs.replace(one, value=self._base) for one in super().run(context)]


def here(slowness: list[float]) -> Dependencies:
    """A machine of two workloads: how slow its runtime is in each of the next runs."""

    def runtime(_root):
        return FakeBackend("runtime", slowness=slowness.pop(0) if slowness else 1.0)

    scenarios = [
        FakeScenario("cpu.float", "cpu", cost_s=1.0),
        Steady("memory.latency", "memory", cost_s=1.0, scales_work=False),
    ]
    return Dependencies.fake(
        {"host": lambda _root: FakeBackend("host"), "runtime": runtime}, scenarios, fake_image()
    )


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """A run of that machine; not to be written to."""
    directory = tmp_path_factory.mktemp("measured")
    use(here([]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NINETYNINE_CACHE", str(directory / "cache"))
        patch.setattr("reports.page.build", lambda evidence, target: "")
        result = CliRunner().invoke(
            app, ["run", "--backends", "runtime", "--out", str(directory / "old"), "--seed", "1"]
        )
    use(None)
    assert result.exit_code == 0, result.output
    return directory / "old"


@pytest.fixture
def machine(measured, tmp_path, monkeypatch, undrawn):
    """That machine again, with the run's copy in `old`: append how slow its runtime is in the next runs."""
    monkeypatch.setenv("NINETYNINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(measured, tmp_path / "old")
    slowness: list[float] = []
    use(here(slowness))
    yield slowness
    use(None)


def live(*more):
    return invoke("old", "--live", "--out", "new", "--margin", 0.95, "--gate", "--json", *more)


@pytest.mark.slow
def test_live_measures_as_old_was_and_says_what_is_not_worse(machine, tmp_path):
    result = live()
    found = json.loads(result.stdout)
    assert (result.exit_code, found["answer"], found["again"]) == (0, "nothing worse", None)
    old, new = (store.load(tmp_path / name).run for name in ("old", "new"))
    assert (old.plan.profile, old.plan.scenarios, old.plan.cpus) == (
        new.plan.profile,
        new.plan.scenarios,
        new.plan.cpus,
    )
    assert [arm.name for arm in old.plan.arms] == [arm.name for arm in new.plan.arms]
    assert not (tmp_path / "new-again").exists()


@pytest.mark.slow
def test_the_command_on_the_page_of_a_live_run_can_be_pasted(machine, tmp_path):
    live()
    _, *words = shlex.split(appendix.repeat(store.load(tmp_path / "new").run))
    planned = CliRunner().invoke(app, [*words, "--dry-run", "--json"])
    assert planned.exit_code == 0, planned.output
    assert json.loads(planned.stdout)["families"] == ["cpu", "memory"]


@pytest.mark.slow
def test_live_goes_on_until_all_is_decided_where_old_did(machine, tmp_path):
    path = tmp_path / "old" / store.RUN
    run = msgspec.json.decode(path.read_bytes())
    run["plan"] |= {"until_decided": True, "first_budget_s": 90.0, "budget_s": 1800.0}
    path.write_bytes(msgspec.json.encode(run))
    assert live().exit_code == 0
    plan = store.load(tmp_path / "new").run.plan
    assert (plan.until_decided, plan.first_budget_s, plan.budget_s) == (True, 90.0, 1800.0)


@pytest.mark.slow
def test_live_says_worse_after_a_second_run_alone_confirmed_it(machine, tmp_path):
    machine.extend([1.2, 1.2])
    result = live()
    found = json.loads(result.stdout)
    assert (result.exit_code, found["answer"]) == (1, "worse")
    assert found["again"]["directory"] == "new-again"
    again = store.load(tmp_path / "new-again").run
    assert (again.status, again.plan.scenarios) == ("complete", ("cpu.float",)), "only the suspect's family"


@pytest.mark.slow
def test_live_cannot_decide_what_the_second_run_does_not_show(machine):
    machine.extend([1.2, 1.0])
    result = live()
    found = json.loads(result.stdout)
    assert (result.exit_code, found["answer"]) == (2, "cannot tell")
    assert "not confirmed by a second" in found["rows"][0]["verdict"]["notes"][0]


@pytest.mark.slow
def test_an_interrupted_live_run_says_how_to_go_on(machine, tmp_path, monkeypatch):
    run = msgspec.structs.replace(store.load(tmp_path / "old").run, status="interrupted")
    ended = comparing.execute.Ended(directory=tmp_path / "old", run=run)
    monkeypatch.setattr(comparing.execute, "start", lambda *_: ended)
    result = live()
    assert (result.exit_code, result.stdout) == (130, "")
    assert f"ninetynine run --resume {tmp_path / 'old'}`, then `ninetynine compare old" in result.stderr


@pytest.mark.slow
def test_a_second_run_that_fails_confirms_nothing(machine, monkeypatch):
    """What the first run found is not lost with it."""
    start, calls = comparing.execute.start, []

    def once(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise store.StoreError("write new-again: no space left on device")
        return start(*arguments)

    monkeypatch.setattr(comparing.execute, "start", once)
    machine.append(1.2)
    result = live()
    found = json.loads(result.stdout)
    assert (result.exit_code, found["answer"]) == (2, "cannot tell")
    assert "no space left on device" in found["rows"][0]["verdict"]["notes"][0]


@pytest.mark.slow
def test_live_does_not_measure_against_a_run_that_is_not_a_result(machine, tmp_path):
    path = tmp_path / "old" / store.RUN
    run = msgspec.json.decode(path.read_bytes())
    run["plan"]["profile"] = "smoke"
    path.write_bytes(msgspec.json.encode(run))
    result = live()
    assert result.exit_code == 3
    assert re.search(r"\bold .*\bsmoke\b", result.stderr)
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_the_second_run_goes_where_nothing_is_yet(machine, tmp_path):
    (tmp_path / "new-again").mkdir()
    machine.extend([1.2, 1.2])
    assert json.loads(live().stdout)["again"]["directory"] == "new-again-2"


@pytest.mark.slow
def test_live_refuses_another_host_before_it_measures(machine, tmp_path):
    path = tmp_path / "old" / store.RUN
    run = msgspec.json.decode(path.read_bytes())
    run["host"]["machine_id"] = "other"
    path.write_bytes(msgspec.json.encode(run))
    result = live()
    assert result.exit_code == 3
    assert json.loads(result.stdout)["differences"][0]["item"] == "machine"
    assert not (tmp_path / "new").exists()


def test_the_made_runs_are_like_real_ones():
    """The plan of a made run names every arm and metric its samples have."""
    samples = drawn()
    plan = record(samples).plan
    assert {arm.name for arm in plan.arms} == set(samples["arm"])
    assert {one.name for one in METRICS} == set(samples["metric"])
