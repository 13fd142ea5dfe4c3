"""The verbs on fakes: what they print, what they leave, and their exit statuses."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jsonschema
import msgspec
import pytest
from typer.testing import CliRunner

from bench import journal, schema, store
from bench.cli import app, concluding, console, running
from bench.cli.dependencies import Dependencies, use
from bench.profiles import MIN_SESSIONS
from bench.testing import FakeBackend, fake_backends, fake_image, fake_scenarios
from tests.paths import REPOSITORY


@pytest.fixture
def events(tmp_path, monkeypatch, undrawn):
    """A world of fakes; the list fills with what is asked of its backends."""
    monkeypatch.setenv("NINETYNINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(console, "program", lambda: "ninetynine")
    monkeypatch.chdir(tmp_path)
    found = []
    use(Dependencies.fake(fake_backends(found), fake_scenarios(), fake_image()))
    yield found
    use(None)


def invoke(*arguments: object):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """A smoke run's directory and what was asked of its backends; not to be written to."""
    directory, found = tmp_path_factory.mktemp("smoke"), []
    use(Dependencies.fake(fake_backends(found), fake_scenarios(), fake_image()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NINETYNINE_CACHE", str(directory / "cache"))
        result = invoke("run", "--profile", "smoke", "--seed", 1, "--out", directory / "run")
    use(None)
    assert result.exit_code == 0, result.output
    return directory / "run", found


@pytest.fixture
def finished(smoke, events, tmp_path):
    """A copy of a smoke run's directory."""
    return Path(shutil.copytree(smoke[0], tmp_path / "run"))


def test_run_leaves_the_promised_files(smoke):
    names = {path.name for path in smoke[0].iterdir()}
    assert names == {"run.json", "samples.parquet", "verdicts.json", "report.html", "log"}


def test_what_it_wrote_satisfies_the_schema(finished):
    for file, rule in [("run.json", "run.json"), ("verdicts.json", "verdicts.json")]:
        jsonschema.validate(json.loads((finished / file).read_bytes()), json.loads(schema.documents()[rule]))


def test_run_ends_with_the_page_and_the_commands_that_go_on(events, tmp_path):
    result = invoke("run", "--profile", "smoke", "--seed", 5, "--out", "run")
    *_, page, more, repeat = result.stdout.splitlines()
    assert page == "page    run/report.html"
    assert more == "more    ninetynine show run --all"
    assert repeat == "repeat  ninetynine run --like run"


def test_smoke_never_gives_a_verdict(finished):
    states = {one.verdict for one in store.load_verdicts(finished)}
    assert states <= {"inconclusive", "not measured"}


def test_json_is_one_document_and_nothing_else(events, tmp_path):
    result = invoke("run", "--profile", "smoke", "--json", "--out", tmp_path / "run", "--seed", 3)
    found = json.loads(result.stdout)
    assert result.stderr == ""
    assert (found["seed"], found["status"]) == (3, "complete")
    assert found["verdicts"]


def test_the_same_seed_gives_the_same_plan(events, tmp_path):
    for name in "ab":
        invoke("run", "--profile", "smoke", "--seed", 9, "--out", tmp_path / name)
    assert store.load(tmp_path / "a").run.plan == store.load(tmp_path / "b").run.plan


def test_the_plan_is_made_for_the_budget_that_was_given(events, tmp_path):
    invoke("run", "--profile", "smoke", "--budget", 77, "--out", tmp_path / "run")
    assert store.load(tmp_path / "run").run.plan.budget_s == 77


def test_a_run_keeps_what_its_looks_closed_and_what_ended_it(events, tmp_path):
    result = invoke("run", "--backends", "vm", "--families", "cpu", "--seed", 2, "--out", tmp_path / "run")
    loaded = store.load(tmp_path / "run")
    assert loaded.run.closed == journal.read(tmp_path / "run" / journal.NAME).closed
    assert {(one.scenario, one.sessions) for one in loaded.run.closed if one.arm == "vm-tcg"} == {
        ("cpu.integer", 4)
    }
    assert loaded.run.sessions_run == 4 == loaded.samples["session"].nunique()
    assert loaded.run.ended_because == "decided"
    assert "cpu      1 of 1 decided" in result.stderr


def test_a_control_that_cannot_run_is_reported_by_the_arm_it_copies(events, tmp_path):
    invoke("run", "--profile", "smoke", "--out", tmp_path / "run")
    missing = {one.arm for one in store.load(tmp_path / "run").run.not_measured}
    assert not missing & {"host-b", "host-2pct", "runtime-b"}


def test_a_missing_backend_is_named_as_not_measured(finished):
    missing = {(one.arm, one.reason) for one in store.load(finished).run.not_measured}
    assert ("docker", "no docker on this machine") in missing


def test_leftovers_are_swept_before_anything_starts(smoke):
    _, events = smoke
    first = next(index for index, event in enumerate(events) if event[0] != "cleanup")
    assert {event[1] for event in events[:first]} == {"host", "runtime", "vm-tcg", "docker"}


def test_only_what_was_asked_for_is_measured_and_the_host(events, tmp_path):
    invoke(
        "run",
        "--profile",
        "smoke",
        "--backends",
        "runtime",
        "--families",
        "cpu,memory",
        "--out",
        tmp_path / "r",
    )
    loaded = store.load(tmp_path / "r")
    assert set(loaded.samples["arm"]) == {"host", "host-b", "host-2pct", "runtime", "runtime-b"}
    assert {name.split(".")[0] for name in loaded.samples["scenario"]} == {"cpu", "memory"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--backends", "hots"], "'hots': .*host, runtime, vm, docker"),
        (["--families", "cpu,gpu"], "'gpu': .*startup, cpu, memory, network, disk"),
        (["--profile", "fast"], "'fast': .*smoke, quick, full"),
        (["--cpus", "0,x"], "--cpus .*'0,x'"),
        (["--cpus", "0-999999999"], "--cpus .*0-999999999"),
        (["--backends", "runtime,,host"], "runtime,,host"),
        (["--families", ""], "family in ''"),
        (["--cpus", "4096"], "--cpus 4096: "),
        (["--budget", "3"], r"--budget 3: .*\b10\b.*\b86400\b"),
        (["--until-decided", "--at-most", "soon"], r"--at-most soon: .*\b60m\b"),
        (["--until-decided", "--at-most", "10s"], r"--at-most 10 s: .*\b340 s"),
        (["--at-most", "10m"], "--at-most .*--until-decided.*--budget"),
        (["--until-decided", "--profile", "smoke"], "--until-decided: .*smoke"),
        (["--budget", "nan"], r"--budget nan: .*\b10\b.*\b86400\b"),
        (["--resume", "x", "--budget", "60"], r"--resume .*\bplan\b.*--budget"),
        (["--resume", "x", "--profile", "full"], r"--resume .*\bplan\b.*--profile"),
        (["--resume", "x", "--profile", "quick"], r"--resume .*\bplan\b.*--profile"),
        (["--resume", "x", "--at-most", "9m"], r"--resume .*\bplan\b.*--at-most"),
        (["--resume", "x", "--dry-run", "--seed", "1"], r"--resume .*\bplan\b.*--seed and --dry-run"),
        (["--resume", "x", "--like", "y"], r"--resume .*\bplan\b.*--like"),
        (["--like", "x", "--seed", "1"], r"--like .*\bplan\b.*--seed"),
        (["--like", "x", "--profile", "smoke"], r"--like .*\bplan\b.*--profile"),
        (["--like", "x", "--profile", "quick"], r"--like .*\bplan\b.*--profile"),
        (["--resume", "nowhere"], r"nowhere: .*\bjournal\b"),
    ],
)
def test_wrong_use_is_answered_with_status_2_and_makes_nothing(events, tmp_path, arguments, message):
    result = invoke("run", *arguments)
    assert result.exit_code == 2
    assert re.search(message, result.stderr)
    assert not events
    assert not (tmp_path / "results").exists()


def test_a_directory_with_a_run_is_not_overwritten(finished):
    before = (finished / "run.json").read_bytes()
    result = invoke("run", "--profile", "smoke", "--out", finished)
    assert result.exit_code == 1
    assert f"--resume {finished}" in result.stderr
    assert (finished / "run.json").read_bytes() == before


def test_without_root_it_says_so(events, monkeypatch):
    fakes = fake_backends()
    world = Dependencies.fake(fakes, fake_scenarios(), fake_image())
    world.needs_root = True
    use(world)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    result = invoke("run", "--profile", "smoke")
    assert result.exit_code == 1
    assert "sudo" in result.stderr


def test_without_a_host_nothing_is_measured_and_nothing_left(events, tmp_path):
    broken = {
        "host": lambda root: FakeBackend("host", missing="no chroot"),
        "runtime": fake_backends()["runtime"],
    }
    use(Dependencies.fake(broken, fake_scenarios(), fake_image()))
    result = invoke("run", "--profile", "smoke", "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "the host backend is the baseline of everything and is not available: no chroot" in result.stderr
    assert not (tmp_path / "run").exists()


def test_when_nothing_that_was_asked_for_is_there_it_says_so(events, tmp_path):
    result = invoke("run", "--profile", "smoke", "--backends", "docker", "--out", tmp_path / "run")
    assert result.exit_code == 1
    assert "none of the backends to be measured is available here: docker: no docker" in result.stderr
    assert not (tmp_path / "run").exists()


def test_a_backend_that_cannot_be_prepared_is_not_measured(events, tmp_path):
    worlds = dict(fake_backends())
    worlds["runtime"] = lambda root: FakeBackend(
        "runtime", fails=lambda event: "no overlay" * (event[0] == "prepare")
    )
    use(Dependencies.fake(worlds, fake_scenarios(), fake_image()))
    assert invoke("run", "--profile", "smoke", "--out", tmp_path / "run").exit_code == 0
    missing = {one.arm: one.reason for one in store.load(tmp_path / "run").run.not_measured}
    assert missing["runtime"] == "prepare: prepare runtime: no overlay"


def test_ctrl_c_while_setting_up_frees_all_and_leaves_no_directory(events, tmp_path):
    def interrupted(cache, tell):
        raise KeyboardInterrupt

    world = Dependencies.fake(fake_backends(events), fake_scenarios(), fake_image())
    world.build_image = interrupted
    use(world)
    result = invoke("run", "--profile", "smoke", "--out", tmp_path / "run")
    assert result.exit_code == 130
    assert {event[1] for event in events[-4:] if event[0] == "cleanup"} == {
        "host",
        "runtime",
        "vm-tcg",
        "docker",
    }
    assert not (tmp_path / "run").exists()


def test_a_backend_with_a_bug_costs_only_itself(events, tmp_path):
    class Buggy(FakeBackend):
        def start(self, spec):
            raise KeyError(512)

    worlds = dict(fake_backends(events))
    worlds["runtime"] = lambda root: Buggy("runtime")
    use(Dependencies.fake(worlds, fake_scenarios(), fake_image()))
    assert invoke("run", "--profile", "smoke", "--out", tmp_path / "run").exit_code == 0
    loaded = store.load(tmp_path / "run")
    assert loaded.samples[loaded.samples["arm"] == "host"]["valid"].all()
    reasons = {one.reason for one in loaded.run.not_measured if one.arm == "runtime"}
    assert any("KeyError: 512" in reason for reason in reasons)


def test_a_control_that_fails_makes_the_run_invalid(events, tmp_path, monkeypatch):
    def judged(loaded):
        joint = next(one for one in concluding.judged(loaded) if one.metric == "joint")
        return [msgspec.structs.replace(joint, verdict="refuted", notes=("p = 0.001",))]

    monkeypatch.setattr(running, "judged", judged)
    result = invoke("run", "--profile", "smoke", "--out", tmp_path / "run")
    assert result.exit_code == 3
    assert "A/A   failed: p = 0.001" in result.stdout


@pytest.mark.parametrize("verb", ["show", "judge", "report"])
@pytest.mark.parametrize("name", ["run.json", "samples.parquet", str(journal.NAME)])
def test_a_cut_file_is_named_with_status_1_and_nothing_is_destroyed(finished, verb, name):
    os.truncate(finished / name, (finished / name).stat().st_size // 2)
    result = invoke(verb, finished)
    assert result.exit_code == 1
    assert f"{finished / name}: " in result.stderr
    assert len(store.load(finished).samples)


def test_judge_makes_cut_files_whole(finished):
    before = store.load(finished)
    os.truncate(finished / "run.json", 10)
    assert invoke("judge", finished).exit_code == 1
    assert invoke("judge", finished).exit_code == 0
    assert store.load(finished).run == before.run


def test_show_without_verdicts_names_the_command(finished):
    (finished / "verdicts.json").write_text("[{")
    result = invoke("show", finished)
    assert result.exit_code == 1
    assert f"`ninetynine judge {finished}`" in result.stderr
    assert invoke("judge", finished).exit_code == 1, "it was cut off"
    assert invoke("show", finished).exit_code == 0


def test_list_names_everything(finished):
    result = invoke("list", "--results", finished.parent)
    for word in (
        "vm-tcg: fake 1.0",
        "no docker on this machine",
        "network.throughput.nat",
        str(finished),
        "complete",
    ):
        assert word in result.stdout


def test_the_help_of_a_budget_says_what_is_measured_in_any_case():
    said = " ".join(invoke("run", "--help").stdout.replace("│", " ").split())
    assert f"what decides a claim is measured {MIN_SESSIONS} times in any case" in said


def test_an_unknown_list_is_answered_with_the_known_ones():
    result = invoke("list", "nope")
    assert result.exit_code == 2
    assert "unknown list 'nope': choose from backends, scenarios, metrics, runs" in result.stderr


def test_list_metrics_as_json_has_definitions(events):
    found = json.loads(invoke("list", "metrics", "--json").stdout)
    assert found[0] == {
        "metric": "startup.first_instruction",
        "unit": "s",
        "better": "lower",
        "role": "primary",
        "definition": "startup.first_instruction",
    }


def test_list_survives_a_broken_run(finished):
    (finished.parent / "broken" / "log").mkdir(parents=True)
    assert "unreadable" in invoke("list", "runs", "--results", finished.parent).stdout


def test_doctor_names_each_backend_and_the_checks(events):
    found = {one["name"]: one for one in json.loads(invoke("doctor", "--quick", "--json").stdout)["checks"]}
    assert found["backend docker"]["found"] == "no docker on this machine"
    assert {"root", "load", "governor", "disk space", "cgroups"} <= set(found)


@pytest.mark.parametrize("verb", ["run", "judge", "report", "doctor", "list", "show"])
def test_every_verb_has_help_with_an_example(verb):
    result = invoke(verb, "--help")
    assert result.exit_code == 0
    assert f"Example: ninetynine {verb}" in result.stdout
    assert not re.search(r"<(bool|str|path|int|float|list)", result.stdout)


class Struck(list):
    """Events of backends; at the n-th slice this process is sent a signal."""

    def __init__(self, number: int, after: int) -> None:
        self.number, self.left = number, after

    def append(self, event):
        super().append(event)
        if event[0] == "run":
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), self.number)


def struck(number: int, after: int, run: Path):
    """Begin a smoke run that is sent a signal at a slice; afterwards fakes are at hand that send none."""
    use(Dependencies.fake(fake_backends(Struck(number, after)), fake_scenarios(), fake_image()))
    try:
        return invoke("run", "--profile", "smoke", "--seed", 1, "--out", run)
    finally:
        use(Dependencies.fake(fake_backends(), fake_scenarios(), fake_image()))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_keeps_what_was_measured_and_resume_goes_on(events, tmp_path, number):
    run = tmp_path / "run"
    cut = struck(number, 6, run)
    assert cut.exit_code == 130
    assert f"ninetynine run --resume {run}" in cut.stdout.replace(" \\\n        ", " ")
    before = store.load(run)
    assert before.run.status == "interrupted"
    assert 5 <= len(before.samples) < len(before.run.plan.steps)
    again = invoke("run", "--resume", run)
    assert again.exit_code == 0, again.stderr
    after = store.load(run)
    assert after.run.plan == before.run.plan
    assert sorted(after.samples["order"][after.samples["valid"]]) == [
        step.order for step in after.run.plan.steps
    ]
    assert after.samples[: len(before.samples)].equals(before.samples)


@pytest.mark.programs
@pytest.mark.parametrize("arguments", [("--version",), ("--help",), ("run", "--help"), ("list", "metrics")])
def test_what_needs_no_samples_loads_no_library_for_them(tmp_path, arguments):
    line = [sys.executable, "-X", "importtime", "-m", "bench", *arguments]
    done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
    loaded = {one.rpartition("|")[2].strip() for one in done.stderr.splitlines()}
    assert "bench.cli" in loaded
    assert not loaded & {"numpy", "pandas", "pyarrow", "scipy"}


def test_ctrl_c_while_the_libraries_load_ends_it_like_later(tmp_path):
    (tmp_path / "typer.py").write_text("raise KeyboardInterrupt\n")
    done = subprocess.run(
        [sys.executable, "-m", "bench", "list", "backends"],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (130, "ninetynine: error: interrupted\n")


def test_kill_9_loses_no_finished_sample(events, tmp_path):
    run = tmp_path / "run"
    child = os.fork()
    if not child:
        try:
            struck(signal.SIGKILL, 8, run)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    loaded = store.load(run)
    assert loaded.run.status == "running"
    orders = sorted(set(loaded.samples["order"]))  # a slice under pressure was taken again
    assert orders == list(range(len(orders)))
    assert len(orders) >= 7
    assert invoke("run", "--resume", run).exit_code == 0
    assert store.load(run).samples["valid"].sum() == len(loaded.run.plan.steps)


def test_a_complete_run_is_not_resumed(finished):
    result = invoke("run", "--resume", finished)
    assert result.exit_code == 2
    assert "is complete; there is nothing to resume" in result.stderr


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs needs root")
@pytest.mark.parametrize("kib", [500, 700])  # before the first look, and after some
def test_a_full_disk_ends_a_run_clearly_and_with_more_space_it_goes_on(events, tmp_path, kib):
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "nn-test", disk], check=True)
    try:
        words = ("--backends", "runtime", "--families", "cpu", "--seed", 1)
        full = invoke("run", *words, "--out", disk / "run")
        assert full.exit_code == 1
        assert re.search(r"No space left on device.*`ninetynine run --resume", full.stderr)
        assert events[-1][0] == "cleanup"
        kept = len(store.load(disk / "run").samples)
        subprocess.run(["mount", "-o", "remount,size=64m", disk], check=True)
        again = invoke("run", "--resume", disk / "run")
        assert again.exit_code in (0, 3), again.stderr
        run = store.load(disk / "run")
        assert 0 < kept <= len(run.samples)
        settled = journal.read(disk / "run" / journal.NAME).settled
        assert settled == {step.order for step in run.run.plan.steps}
    finally:
        subprocess.run(["umount", disk], check=True)
