"""The docker command, unmodified, against a real daemon."""

from __future__ import annotations

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from daemon_process import Daemon

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


def test_input_goes_through_to_its_end(daemon: Daemon):
    assert daemon.docker("run", "-i", "--rm", "busybox", "cat", stdin="typed\n") == "typed\n"
    assert daemon.docker("run", "-i", "--rm", "busybox", "wc", "-c", stdin="x" * 300_000).strip() == "300000"


def test_much_goes_through_both_ways(daemon: Daemon):
    data = os.urandom(1 << 20) * int(os.environ.get("NINETYNINE_STREAM_MIB", "32"))
    done = daemon.docker_run("run", "-i", "--rm", "busybox", "cat", stdin=data)
    assert len(done.stdout) == len(data)
    assert done.stdout == data


def test_a_missing_image_and_a_taken_name_are_told_in_dockers_words(daemon: Daemon):
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


def test_logs_are_kept_and_followed(daemon: Daemon):
    script = "echo one; echo two >&2; while [ ! -e /go ]; do sleep 0.1; done; echo three"
    run_detached(daemon, "--name", "chatty", "busybox", "sh", "-c", script)
    follower = daemon.docker_start("logs", "-f", "chatty", stdin=subprocess.DEVNULL)
    assert follower.stdout is not None
    assert follower.stdout.readline() == b"one\n"
    daemon.docker("exec", "chatty", "touch", "/go")
    out, err = follower.communicate(timeout=30)
    assert (out, err, follower.returncode) == (b"three\n", b"two\n", 0)
    assert daemon.docker("logs", "--tail", "1", "chatty") == "three\n"
    assert re.match(r"\d{4}-\d\d-\d\dT.*Z three", daemon.docker("logs", "-t", "-n", "1", "chatty"))
    daemon.docker("rm", "chatty")


def test_exec_has_its_own_status_user_and_input(daemon: Daemon):
    run_detached(daemon, "--name", "home", "-e", "A=1", "busybox", "sleep", "60")
    assert daemon.docker("exec", "-e", "B=2", "home", "sh", "-c", "echo $A$B") == "12\n"
    assert daemon.docker("exec", "-i", "home", "cat", stdin="in") == "in"
    assert (
        daemon.docker("exec", "-u", "alice", "-w", "/tmp", "home", "sh", "-c", "id -un; pwd")
        == "alice\n/tmp\n"
    )
    assert daemon.docker_run("exec", "home", "sh", "-c", "exit 9").returncode == 9
    assert daemon.docker_run("exec", "home", "/nowhere").returncode == 127
    said = daemon.docker("exec", "home", "nowhere", check=False)
    assert 'OCI runtime exec failed: exec failed: unable to start container process: exec: "nowhere"' in said
    assert daemon.docker_run("exec", "-w", "/nowhere", "home", "true").returncode == 126
    assert daemon.docker_run("exec", "home", "test", "-e", "/nowhere").returncode == 1
    assert daemon.docker("exec", "-d", "home", "touch", "/made") == ""
    deadline = time.monotonic() + 20
    while daemon.docker_run("exec", "home", "test", "-e", "/made").returncode and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "/made" in daemon.docker("diff", "home")
    daemon.docker("rm", "-f", "home")
    assert "No such container: home" in daemon.docker("exec", "home", "true", check=False)


def test_cp_goes_both_ways(daemon: Daemon, tmp_path: Path):
    run_detached(daemon, "--name", "files", "busybox", "sleep", "60")
    source = tmp_path / "in"
    source.mkdir()
    (source / "a").write_text("alpha")
    daemon.docker("cp", str(source), "files:/tmp/there")
    assert daemon.docker("exec", "files", "cat", "/tmp/there/a") == "alpha"
    daemon.docker("cp", "files:/tmp/there/a", str(tmp_path / "out"))
    assert (tmp_path / "out").read_text() == "alpha"
    assert "Could not find the file /none" in daemon.docker("cp", "files:/none", str(tmp_path), check=False)
    daemon.docker("rm", "-f", "files")


def test_a_terminal_is_one(daemon: Daemon):
    master, slave = pty.openpty()
    client = daemon.docker_start(
        "run", "-it", "--rm", "busybox", "sh", stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    os.write(master, b"stty size; tty; exit 5\n")
    said = b""
    try:
        while data := os.read(master, 4096):
            said += data
    except OSError:  # the terminal's end
        pass
    os.close(master)
    assert client.wait(30) == 5
    assert b"/dev/pts/0" in said


def test_the_detach_keys_leave_it_running(daemon: Daemon):
    master, slave = pty.openpty()
    client = daemon.docker_start(
        "run", "-it", "--name", "kept", *QUICK, "busybox", "sh", stdin=slave, stdout=slave, stderr=slave
    )
    os.close(slave)
    said = b""
    os.write(master, b"echo re''ady\n")
    while b"ready" not in said:
        said += os.read(master, 4096)
    os.write(master, b"\x10\x11")
    assert client.wait(30) == 0
    os.close(master)
    assert daemon.docker("inspect", "-f", "{{.State.Running}}", "kept") == "true\n"
    daemon.docker("rm", "-f", "kept")


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 7), (signal.SIGTERM, 8)])
def test_a_signal_to_the_client_goes_to_the_program(daemon: Daemon, number: int, status: int):
    script = "trap 'exit 7' INT; trap 'exit 8' TERM; echo up; while :; do sleep 0.1; done"
    client = daemon.docker_start("run", "--rm", "busybox", "sh", "-c", script, stdin=subprocess.DEVNULL)
    assert client.stdout is not None
    assert client.stdout.readline() == b"up\n"
    client.send_signal(number)
    client.communicate(timeout=30)
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


def test_stats_and_df_tell_of_it(daemon: Daemon):
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
