"""`tune` and `untune` on a tree that looks like a host: statuses, signals, a kill -9."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bench.cli import app, tuning
from bench.cli.dependencies import Dependencies, use
from bench.host.tuning import LOCK, RECORD, Tuner
from bench.testing import fake_backends, fake_image, fake_scenarios

SWAPPINESS = "proc/sys/vm/swappiness"


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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_goes_to_the_command_and_all_is_put_back(here, number):
    command = f"cp {here / SWAPPINESS} {here / 'seen'}; kill -{number:d} $PPID; exec sleep 120"
    assert invoke("tune", "--", "sh", "-c", command).exit_code == 128 + number
    assert (here / "seen").read_text() == "1\n"
    assert value(here) == "60"
    assert not (here / "run/ninetynine" / RECORD).exists()


def test_after_a_kill_the_next_start_puts_it_back(here):
    child = os.fork()
    if not child:
        try:
            invoke("tune", "--", "sh", "-c", f"echo $$ > {here / 'pid'}; kill -9 $PPID; exec sleep 600")
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == signal.SIGKILL
    os.kill(int((here / "pid").read_text()), signal.SIGKILL)
    assert value(here) == "1"
    following = invoke("tune", "--", "true")
    assert following.exit_code == 0
    assert value(here) == "60"
    assert "1 → 60" in following.stderr


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
