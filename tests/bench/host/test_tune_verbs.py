"""`tune` and `untune` as processes on a tree that looks like a host: statuses, signals, a kill -9."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app, tuning
from bench.cli.dependencies import Dependencies, use
from bench.host.tuning import LOCK, RECORD, Tuner
from bench.testing import fake_backends, fake_image, fake_scenarios
from tests.paths import REPOSITORY
from tests.waiting import eventually

SWAPPINESS = "proc/sys/vm/swappiness"
PATIENCE_S = 120.0
"""No promise about speed: a test that waits so long hangs."""

PROGRAM = """
import sys
from pathlib import Path
from bench.cli import app, tuning
from bench.host.tuning import Tuner
tuning.tuner = lambda cpus=(): Tuner(Path(sys.argv[1]), cpus)
app(sys.argv[2:])
"""


@pytest.fixture
def root(tmp_path):
    path = tmp_path / SWAPPINESS
    path.parent.mkdir(parents=True)
    path.write_text("60\n")
    return tmp_path


@pytest.fixture
def here(root, monkeypatch):
    """Verbs called in this process tune the tree."""
    monkeypatch.setattr(tuning, "tuner", lambda cpus=(): Tuner(root, cpus))
    return root


def value(root: Path) -> str:
    return (root / SWAPPINESS).read_text().strip()


def invoke(*arguments: object):
    return CliRunner().invoke(app, [str(one) for one in arguments])


def start(root: Path, *arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(root), *map(str, arguments)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_show_changes_nothing(here):
    shown = json.loads(invoke("tune", "--show", "--json").stdout)
    would = [
        (one["setting"], one["present"], one["wanted"]) for one in shown["settings"] if one["do"] == "change"
    ]
    assert would == [("swappiness", "60", "1")]
    assert "aslr" in shown["left"]
    assert value(here) == "60"
    assert not (here / "run").exists()


def test_a_command_runs_tuned_and_its_status_is_passed_on(here):
    result = invoke("tune", "--", "sh", "-c", f"cp {here / SWAPPINESS} {here / 'seen'}; exit 7")
    assert result.exit_code == 7
    assert (here / "seen").read_text() == "1\n"
    assert value(here) == "60"


def test_a_command_that_is_not_there(here):
    result = invoke("tune", "--", here / "nonesuch")
    assert result.exit_code == tuning.OURS
    assert value(here) == "60"


def test_tune_stays_until_untune(here):
    assert invoke("tune").exit_code == 0
    assert value(here) == "1"
    assert "already tuned, as far as it can be" in invoke("tune").stdout
    result = invoke("untune", "--json")
    assert (result.exit_code, value(here)) == (0, "60")
    assert [one["state"] for one in json.loads(result.stdout)["files"]] == ["put back"]
    assert "nothing to put back" in invoke("untune").stdout


@pytest.mark.parametrize("verb", ["tune", "untune"])
def test_help_shows_an_example(verb):
    assert f"Example: ninetynine {verb}" in invoke(verb, "--help").stdout


def test_show_takes_no_command(here):
    assert invoke("tune", "--show", "--", "true").exit_code == 2


@pytest.mark.programs
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_goes_to_the_command_and_all_is_put_back(root, number):
    child = start(root, "tune", "--", "sleep", PATIENCE_S)
    eventually(lambda: value(root), "1", child=child)
    child.send_signal(number)
    child.communicate(timeout=PATIENCE_S)
    assert child.returncode == 128 + number
    assert value(root) == "60"
    assert not (root / "run/ninetynine" / RECORD).exists()


@pytest.mark.programs
def test_after_a_kill_the_next_start_puts_it_back(root):
    child = start(root, "tune", "--", "sh", "-c", "echo $$; exec sleep 600")
    eventually(lambda: value(root), "1", child=child)
    orphan = int(child.stdout.readline())
    child.kill()
    child.wait(timeout=PATIENCE_S)
    os.kill(orphan, signal.SIGKILL)
    assert value(root) == "1"
    following = start(root, "tune", "--", "true")
    _, said = following.communicate(timeout=PATIENCE_S)
    assert following.returncode == 0
    assert value(root) == "60"
    assert "1 → 60" in said


def test_two_at_once_are_refused(root, here):
    with Tuner(root).held():
        result = invoke("tune", "--", "true")
        assert result.exit_code == tuning.OURS
        assert invoke("untune").exit_code == 1
        assert value(root) == "1"
    assert (root / "run/ninetynine" / LOCK).exists()


@pytest.fixture
def fakes(here, tmp_path, monkeypatch, undrawn):
    monkeypatch.setenv("NINETYNINE_CACHE", str(tmp_path / "cache"))
    use(Dependencies.fake(fake_backends(), fake_scenarios(), fake_image()))
    yield here
    use(None)


def test_a_run_can_be_tuned(fakes):
    result = invoke("run", "--profile", "smoke", "--tune", "--out", fakes / "result")
    assert result.exit_code == 0, result.output
    assert "tune: swappiness" in result.output
    assert value(fakes) == "60"


def test_any_run_puts_back_what_a_killed_one_left(fakes):
    Tuner(fakes).tune()
    assert value(fakes) == "1"
    result = invoke("run", "--profile", "smoke", "--out", fakes / "result")
    assert result.exit_code == 0, result.output
    assert value(fakes) == "60"


def test_a_run_leaves_kept_tuning_alone(fakes):
    Tuner(fakes).tune(kept=True)
    assert invoke("run", "--profile", "smoke", "--out", fakes / "result").exit_code == 0
    assert value(fakes) == "1"
