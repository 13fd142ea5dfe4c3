"""The unmodified docker command against a real daemon."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.runtime.daemon_process import Daemon

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("docker") is None, reason="needs docker-cli"),
]

QUICK = ("--stop-timeout", "0")


def run_detached(daemon: Daemon, *arguments: str) -> str:
    return daemon.docker("run", "-d", *QUICK, *arguments).strip()


def test_run_prints_and_removes(daemon: Daemon):
    assert daemon.docker("run", "--rm", "busybox", "echo", "hello") == "hello\n"
    assert daemon.docker("ps", "-aq") == ""


def test_standard_output_and_error_are_apart(daemon: Daemon):
    done = daemon.docker_run("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 3)


@pytest.mark.parametrize(
    ("command", "status"),
    [(["true"], 0), (["sh", "-c", "exit 42"], 42), (["sh", "-c", "sh -c 'kill -9 $$'; exit $?"], 137),
     (["/nowhere"], 127), (["/etc/passwd"], 126)],
)  # fmt: skip
def test_the_exit_status_is_the_programs(daemon: Daemon, command: list[str], status: int):
    assert daemon.docker_run("run", "--rm", "busybox", *command).returncode == status


def test_a_missing_image_and_a_taken_name_are_reported_in_dockers_words(daemon: Daemon):
    said = daemon.docker("create", "--pull", "never", "missing", check=False)
    assert said == "Error response from daemon: No such image: missing:latest\n"
    name = run_detached(daemon, "--name", "twice", "busybox", "sleep", "60")
    said = daemon.docker("create", "--name", "twice", "busybox", check=False)
    assert f'The container name "/twice" is already in use by container "{name}"' in said
    daemon.docker("rm", "-f", "twice")
    assert "No such container: twice" in daemon.docker("start", "twice", check=False)


def test_a_detached_container_is_listed_inspected_and_stopped(daemon: Daemon):
    id_ = run_detached(daemon, "--name", "web", "--label", "a=b", "busybox", "sleep", "60")
    row = json.loads(daemon.docker("ps", "--no-trunc", "--filter", "label=a=b", "--format", "json"))
    assert (row["ID"], row["Names"], row["Image"]) == (id_, "web", "busybox")
    assert row["Status"].startswith("Up ")
    (document,) = json.loads(daemon.docker("inspect", "web"))
    assert document["State"]["Running"]
    assert document["Path"] == "sleep"
    assert document["HostConfig"]["NetworkMode"]
    assert daemon.docker("stop", "-t", "0", "web") == "web\n"
    assert daemon.docker("inspect", "-f", "{{.State.Status}} {{.State.ExitCode}}", "web") == "exited 137\n"
    assert daemon.docker("wait", "web") == "137\n"
    daemon.docker("rm", "web")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 7), (signal.SIGTERM, 8)])
def test_a_signal_to_the_client_goes_to_the_program(daemon: Daemon, number: int, status: int):
    script = "trap 'exit 7' INT; trap 'exit 8' TERM; echo up; while :; do sleep 0.1; done"
    client = daemon.docker_start("run", "--rm", "busybox", "sh", "-c", script, stdin=subprocess.DEVNULL)
    assert client.stdout is not None
    assert client.stdout.readline() == b"up\n"
    client.send_signal(number)
    client.communicate(timeout=60)
    assert client.returncode == status


def test_pause_kill_restart_rename_update_and_top(daemon: Daemon):
    run_detached(daemon, "--name", "first", "busybox", "sleep", "61")
    daemon.docker("pause", "first")
    assert "(Paused)" in daemon.docker("ps", "--format", "{{.Status}}")
    daemon.docker("unpause", "first")
    daemon.docker("rename", "first", "second")
    daemon.docker("update", "--memory", "64m", "--memory-swap", "128m", "second")
    assert daemon.docker("inspect", "-f", "{{.HostConfig.Memory}}", "second") == f"{64 << 20}\n"
    assert "sleep 61" in daemon.docker("top", "second")
    daemon.docker("restart", "-t", "0", "second")
    daemon.docker("kill", "-s", "KILL", "second")
    assert daemon.docker("wait", "second") == "137\n"
    assert "cannot kill container: second: container" in daemon.docker("kill", "second", check=False)
    assert "cannot kill container: none: No such container" in daemon.docker("kill", "none", check=False)
    daemon.docker("rm", "second")


def test_stats_and_df_show_it(daemon: Daemon):
    run_detached(daemon, "--name", "busy", "busybox", "sleep", "60")
    row = json.loads(daemon.docker("stats", "--no-stream", "--format", "json", "busy"))
    assert row["Name"] == "busy"
    assert row["PIDs"] == "1"
    rows = daemon.docker("system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}}").splitlines()
    assert "Containers 1 1" in rows
    daemon.docker("rm", "-f", "busy")


def test_events_come_in_order_and_by_filter(daemon: Daemon):
    since = str(time.time())
    daemon.docker("run", "--rm", "--name", "short", "busybox", "true")
    said = daemon.docker(
        "events", "--since", since, "--until", str(time.time()), "--filter", "container=short",
        "--filter", "type=container", "--format", "{{.Action}}",
    )  # fmt: skip
    found = [action for action in said.split() if action in ("create", "start", "die", "destroy")]
    assert found == ["create", "start", "die", "destroy"]


def test_export_and_prune(daemon: Daemon, tmp_path: Path):
    daemon.docker("create", "--name", "still", "busybox", "true")
    daemon.docker("export", "-o", str(tmp_path / "root.tar"), "still")
    names = subprocess.check_output(["tar", "tf", str(tmp_path / "root.tar")], text=True)
    assert "bin/busybox" in names
    daemon.docker("container", "prune", "-f")
    assert daemon.docker("ps", "-aq") == ""


def test_version_and_info_are_understood(daemon: Daemon):
    assert "Engine:" in daemon.docker("version")
    said = daemon.docker("info")
    assert "Storage Driver: overlay2" in said
    assert "WARNING: Error" not in said
