"""Runs that end early, are finished later, cannot be kept, share a CPU, or are only asked about."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner

from bench import journal, output, store
from bench.backends.host import HostBackend
from bench.cli import ahead, app, console, exclusive, execute, prices
from bench.cli.dependencies import Dependencies, current, use
from bench.cli.errors import CliError
from bench.host import storage
from bench.host.check import Check
from bench.host.forecast import Forecast, MetricForecast
from bench.journal import DropLine
from bench.model import Prices
from bench.profiles import PROFILES
from bench.testing import fake_backends, fake_image, fake_scenarios


@pytest.fixture(autouse=True)
def world(tmp_path, monkeypatch, undrawn):
    """A world of fakes in an empty directory."""
    monkeypatch.setenv("NINETYNINE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(console, "program", lambda: "ninetynine")
    monkeypatch.setattr(ahead, "host_checks", lambda cache, cpus: [])
    monkeypatch.chdir(tmp_path)
    use(Dependencies.fake(fake_backends([]), fake_scenarios(), fake_image()))
    yield
    use(None)


def invoke(*arguments: object):
    return CliRunner().invoke(app, [str(one) for one in arguments])


@pytest.fixture
def run(tmp_path):
    """A finished smoke run."""
    result = invoke("run", "--profile", "smoke", "--seed", 1, "--out", "run")
    assert result.exit_code == 0, result.output
    return Path("run")


# what is said before


def test_what_disturbs_the_host_is_said_before_the_first_session(monkeypatch):
    busy = Check(name="other work", state="warn", found="python 99 % of a CPU", effect="all metrics")
    monkeypatch.setattr(ahead, "host_checks", lambda cache, cpus: [busy])
    result = invoke("run", "--profile", "smoke", "--out", "run")
    lines = result.stderr.splitlines()
    warned = next(n for n, line in enumerate(lines) if "other work: python 99 % of a CPU" in line)
    assert lines[warned].startswith("! ")
    stop = next(n for n, line in enumerate(lines) if "Ctrl-C now" in line)
    assert warned < stop < next(n for n, line in enumerate(lines) if line.startswith("· measuring"))
    assert any("python 99 %" in note for note in store.load(Path("run")).run.notes)


def test_a_budget_that_cannot_be_kept_is_said_before():
    result = invoke("run", "--profile", "quick", "--budget", 10, "--families", "cpu,memory", "--dry-run")
    said = " ".join(result.stdout.split())
    assert "the budget of 10 s cannot be kept" in said
    assert re.search(r"takes about \d\S* (s|min) of measuring, whatever the budget, in at most", said)
    enough = invoke("run", "--profile", "quick", "--budget", 300, "--families", "cpu", "--dry-run")
    assert "cannot be kept" not in enough.stdout


def metric(name: str, minutes: float | None) -> MetricForecast:
    return MetricForecast(
        metric=name,
        from_metric=name,
        session_sd=0.01,
        sessions=None,
        sessions_most=None,
        minutes=minutes,
        minutes_most=None,
    )


def forecast(*metrics: MetricForecast) -> Forecast:
    return Forecast(
        profile="quick",
        arms=("host", "runtime"),
        families=("cpu",),
        margin=0.99,
        alpha=0.05,
        budget_minutes=5.67,
        minutes=None,
        minutes_most=None,
        share=0.1,
        metrics=metrics,
    )


def test_what_the_host_is_too_noisy_to_tell_is_said_with_how_long_it_would_take():
    late = ahead.too_noisy(forecast(metric("cpu.integer", 3.0), metric("cpu.float", 11.4)))
    assert late == (
        "too noisy now to tell 1 % in 5.7 min: cpu.float (about 11 min); --until-decided would probably do",
    )
    later = ahead.too_noisy(forecast(metric("cpu.float", 75.2)))
    assert later[0].endswith("; --until-decided --at-most 76m would probably do")
    never = ahead.too_noisy(forecast(metric("cpu.float", 11.4), metric("memory.latency", None)))
    assert "memory.latency (out of reach)" in never[0]
    assert "--until-decided" not in never[0]
    assert ahead.too_noisy(forecast(metric("cpu.integer", 3.0))) == ()


def test_a_run_tests_the_noise_before_it_measures(monkeypatch):
    deps = Dependencies.fake(fake_backends([]), fake_scenarios(), fake_image())
    deps.self_test_s = 0.2
    use(deps)
    monkeypatch.setattr(
        ahead, "forecast", lambda noise, plan, scenarios, profile, arm: forecast(metric("cpu.float", None))
    )
    result = invoke("run", "--families", "cpu", "--backends", "runtime", "--out", "run")
    assert "noise: host against host" in result.stderr
    assert "! too noisy now to tell 1 % in 5.7 min: cpu.float (out of reach)" in result.stderr
    assert any("too noisy" in note for note in store.load(Path("run")).run.notes)


def test_a_run_like_another_makes_its_plan_whatever_is_known_by_then(tmp_path):
    use(msgspec.structs.replace(current(), remembers=True))
    asked = ("--backends", "runtime", "--families", "cpu", "--budget", 20)
    assert invoke("run", *asked, "--seed", 9, "--out", "first").exit_code == 0
    first = store.load(Path("first")).run
    visits = {name: {"host": 0.4, "runtime": 0.4} for name in first.plan.scenarios}
    prices.keep(tmp_path / "cache", first.host.machine_id, Prices(run="r", visits=visits, starts={}))
    invoke("run", *asked, "--seed", 9, "--out", "seeded")
    assert store.load(Path("seeded")).run.plan.steps != first.plan.steps, "prices decide the number of turns"
    result = invoke("run", "--like", "first", "--out", "again")
    assert result.exit_code == 0
    again = store.load(Path("again")).run
    assert again.plan == first.plan
    assert not [note for note in again.notes if "--like" in note]


def test_a_plan_that_cannot_be_made_again_is_said_before(run):
    use(msgspec.structs.replace(current(), scenarios=fake_scenarios()[:2]))
    assert "not the plan of --like" in invoke("run", "--like", "run", "--dry-run").stdout


def test_a_run_until_all_was_decided_is_planned_again_as_one(run):
    plan = msgspec.structs.replace(
        store.load(run).run.plan, until_decided=True, first_budget_s=90.0, budget_s=1800.0
    )
    found = execute.like(current(), plan)
    assert (found.budget, found.at_most) == (90.0, 1800.0)


def test_a_plan_made_again_leaves_out_what_it_left_out(run):
    plan = msgspec.structs.replace(store.load(run).run.plan, left_out={"nnd": ("disk",)})
    assert execute.like(current(), plan).left_out == {"nnd": ("disk",)}


def test_only_backends_that_nobody_named_are_short_of_time():
    """What somebody asks for is measured; a plan that is made again leaves out what it left out."""
    short = {"runtime": ("cpu",)}

    def left_out(options):
        return execute.choose(current(), options).profile.left_out

    assert left_out(execute.Options()) == PROFILES["quick"].left_out
    assert left_out(execute.Options(backends="runtime")) == {}
    assert left_out(execute.Options(backends="runtime", left_out=short)) == short
    assert left_out(execute.Options(backends="runtime", left_out={})) == {}


def test_a_dry_run_measures_nothing_and_says_what_it_would(tmp_path):
    events: list[tuple[str, ...]] = []
    use(Dependencies.fake(fake_backends(events), fake_scenarios(), fake_image()))
    result = invoke("run", "--dry-run", "--families", "cpu", "--seed", 4)
    said = " ".join(result.stdout.split())
    assert result.exit_code == 0
    assert "measures host, runtime and vm on CPUs" in said
    assert "without docker: no docker on this machine" in said
    assert "takes up to 5.7 min of measuring" in said
    assert not {event[0] for event in events} - {"probe"}
    assert not (tmp_path / "results").exists()
    found = json.loads(invoke("run", "--dry-run", "--families", "cpu", "--seed", 4, "--json").stdout)
    assert (found["seed"], found["families"], found["seconds"]) == (4, ["cpu"], 340.0)


# two at once


def test_two_runs_on_one_cpu_are_refused_by_name(tmp_path):
    notes: list[str] = []
    with exclusive.measuring(tmp_path, (0, 1), "the run results/first", notes.append):
        with (
            pytest.raises(CliError, match=r"\(the run results/first\) measures on CPU 1, and two runs"),
            exclusive.measuring(tmp_path, (1, 2), "the run results/second", notes.append),
        ):
            pass
        assert notes == []
        with exclusive.measuring(tmp_path, (2, 3), "the run results/third", notes.append):
            assert notes == [
                f"process {os.getpid()} (the run results/first) measures on CPUs 0-1 at the same time: "
                "both will be noisier"
            ]
    with exclusive.measuring(tmp_path, (1, 2), "the run results/second", notes.append):
        pass


def test_a_second_run_says_who_measures_and_makes_nothing(tmp_path):
    cpus = tuple(sorted(os.sched_getaffinity(0))[:2])
    with exclusive.measuring(tmp_path / "cache", cpus, "the run results/first", lambda text: None):
        result = invoke("run", "--profile", "smoke", "--out", "run")
    assert result.exit_code == 1
    assert "the run results/first) measures on CPU" in result.stderr
    assert not Path("run").exists()


def test_the_lock_of_a_killed_run_is_free(tmp_path):
    held = (
        "import os, signal; from pathlib import Path; from bench.cli import exclusive\n"
        f"with exclusive.measuring(Path({str(tmp_path)!r}), (0,), 'x', print):\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run([sys.executable, "-c", held], check=False)
    assert (tmp_path / exclusive.DIRECTORY / "0").read_text().endswith("(x)")
    with exclusive.measuring(tmp_path, (0,), "y", print):
        pass


# ended early, finished later


def test_a_killed_run_is_interrupted_and_a_running_one_is_not(run):
    record = store.load(run).run
    store.write_run(run, msgspec.structs.replace(record, status="running", ended=""))
    (run / journal.NAME).write_bytes((run / journal.NAME).read_bytes().splitlines(keepends=True)[0])
    assert store.load(run).run.status == "running"
    assert "interrupted" in invoke("list", "runs", "--results", ".").stdout
    with journal.Journal(run / journal.NAME):
        listed = json.loads(invoke("list", "runs", "--results", ".", "--json").stdout)
    assert [one["status"] for one in listed] == ["running"]
    shown = invoke("show", run)
    assert "go on   ninetynine run --resume run" in shown.stdout


@pytest.mark.parametrize("lost", [["verdicts.json"], ["report.html"], ["verdicts.json", "report.html"]])
def test_resume_finishes_what_was_cut_after_the_measuring(run, lost):
    for name in lost:
        (run / name).unlink()
    measured = (run / journal.NAME).read_bytes()
    result = invoke("run", "--resume", run)
    assert result.exit_code == 0, result.output
    assert all((run / name).stat().st_size for name in ("verdicts.json", "report.html"))
    assert (run / journal.NAME).read_bytes() == measured
    assert "more    ninetynine show run --all" in result.stdout
    again = invoke("run", "--resume", run)
    assert again.exit_code == 2
    assert "is complete; there is nothing to resume" in again.stderr


def test_the_notes_of_a_resumed_run_are_those_of_its_end(run):
    lines = (run / journal.NAME).read_bytes().splitlines(keepends=True)
    steps = [line for line in lines if b'"type":"step"' in line]
    (run / journal.NAME).write_bytes(lines[0] + b"".join(steps[: len(steps) // 2]))
    store.write_run(run, msgspec.structs.replace(store.load(run).run, status="running", ended="", notes=()))
    assert invoke("run", "--resume", run).exit_code == 0
    notes = [note for note in store.load(run).run.notes if note.startswith("measured")]
    assert len(notes) == 1
    assert notes[0].startswith(f"measured {len(steps)} steps in ")


def test_what_was_left_out_is_one_note():
    dropped = [
        DropLine(orders=(session, session + 1), reason="the time goes elsewhere", where=f"session {session}")
        for session in range(40)
    ]
    dropped.append(DropLine(orders=(99,), reason="decided after session 5"))
    assert execute._left_out(dropped) == (
        "planned steps not measured: 80 the time goes elsewhere; 1 decided after session 5"
    )
    assert execute._left_out([]) == ""


# judged where nothing can be written


def test_a_run_that_cannot_be_written_gives_its_verdicts(run, monkeypatch):
    def closed(path, data):
        raise PermissionError(errno.EROFS, "Read-only file system", str(path))

    monkeypatch.setattr(output, "write", closed)
    result = invoke("judge", run)
    assert result.exit_code == 0
    assert "A smoke run" in result.stdout
    assert "! the verdicts are shown and not kept: write run/verdicts.json: Read-only" in result.stderr
    assert "--out" not in result.stderr


def test_verdicts_that_are_read_only_are_not_to_be_written_elsewhere(run):
    (run / "verdicts.json").chmod(0o444)
    result = invoke("judge", run)
    assert result.exit_code == 0
    assert "shown and not kept: write run/verdicts.json: it is read-only; make the directory" in result.stderr
    assert "--out" not in result.stderr


def test_verdicts_that_a_full_disk_did_not_take_are_shown_with_status_1(run, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(output, "write", full)
    result = invoke("judge", run)
    assert result.exit_code == 1
    assert "A smoke run" in result.stdout
    assert "free some space and judge again with `ninetynine judge run`" in result.stderr


def test_resuming_where_nothing_can_be_written_does_not_advise_another_directory(run, monkeypatch):
    def closed(*arguments):
        raise PermissionError(errno.EROFS, "Read-only file system", str(run))

    monkeypatch.setattr(journal.os, "open", closed)
    result = invoke("run", "--resume", run)
    assert result.exit_code == 1
    assert "make the directory of the run writable" in result.stderr
    assert "--out" not in result.stderr


def test_judge_says_what_it_repaired_and_not_to_repair_it(run):
    os.truncate(run / "samples.parquet", 100)
    result = invoke("judge", run)
    assert result.exit_code == 1
    assert "samples.parquet: cut off or damaged" in result.stderr
    assert "written again, what was damaged is kept in log/" in result.stderr
    assert "ninetynine judge" not in result.stderr
    assert invoke("judge", run).stderr == ""


def test_judge_says_that_verdicts_were_cut_and_writes_them_again(run):
    os.truncate(run / "verdicts.json", 100)
    result = invoke("judge", run)
    assert result.exit_code == 1
    assert result.stderr == "! run/verdicts.json: cut off or damaged; written again\n"
    assert store.load_verdicts(run)
    assert invoke("judge", run).stderr == ""


# which run


def test_a_verb_without_a_run_takes_the_newest():
    for name in "ab":
        assert invoke("run", "--profile", "smoke", "--out", f"results/{name}").exit_code == 0
    assert "more    ninetynine show results/b --all" in invoke("show").stdout
    assert invoke("report").stdout == "results/b/report.html\n"
    os.utime(Path("results/a") / journal.NAME)
    assert "show results/a --all" in invoke("show").stdout
    assert "cpu.integer" in invoke("show", "cpu.integer").stdout


def test_a_run_that_is_not_there_is_named_where_there_is_none_at_all():
    result = invoke("show", "typo")
    assert result.exit_code == 2
    assert "typo: no such run directory; no run below results/" in result.stderr


def test_show_names_what_it_does_not_know(run):
    result = invoke("show", run, "memory.bandwith")
    assert result.exit_code == 2
    assert "did you mean memory.bandwidth?" in result.stderr
    assert invoke("show", "nowhere/at/all").exit_code == 1
    nothing = invoke("show")
    assert nothing.exit_code == 2
    assert "no run below results/" in nothing.stderr


def test_show_all_has_what_was_not_measured_and_why(run):
    result = invoke("show", run, "--all")
    assert "docker: no docker on this machine (everything)" in result.stdout


def test_a_path_with_a_space_is_quoted_in_the_hint():
    result = invoke("run", "--profile", "smoke", "--out", "m/a b")
    assert "more    ninetynine show 'm/a b' --all" in result.stdout


# what is missing is known before


def test_a_host_without_cp_is_not_available(monkeypatch, tmp_path):
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", "/nonexistent")
    found = HostBackend(tmp_path).probe()
    assert "no `cp` on PATH (/nonexistent)" in found.reason


def test_the_room_below_a_directory_that_may_not_be_entered_is_that_of_its_parent(monkeypatch, tmp_path):
    def closed(path, *arguments, **how):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", closed)
    assert storage.room(tmp_path / "closed" / "cache").state in ("ok", "warn")
