"""The life cycle of containers through docker's command and ours, and what inspect and ps show of it."""

from __future__ import annotations

import json
import re
import subprocess
import time

import pytest

from tests.runtime.clients import Client
from tests.waiting import eventually

pytestmark = pytest.mark.root

NONE = ("--network", "none")
LOG = {line: line.encode() for line in ("one", "two", "three")}


def detached(client: Client, *words: object) -> str:
    return client("run", "-d", *NONE, "--stop-timeout", "0", *words).strip()


def state(client: Client, name: str, template: str = "{{.State.Status}} {{.State.ExitCode}}") -> str:
    return client("inspect", "-f", template, name).strip()


# ---- ends ------------------------------------------------------------------------------------------------


def test_stop_asks_first_and_kills_then(client: Client):
    polite = "trap 'exit 9' TERM; echo up; while :; do sleep 0.05; done"
    detached(client, "--name", "polite", "busybox", "sh", "-c", polite)
    eventually(lambda: client("logs", "polite"), "up\n")
    assert client("stop", "-t", "20", "polite") == "polite\n"
    assert state(client, "polite") == "exited 9"
    detached(client, "--name", "deaf", "busybox", "sh", "-c", "trap '' TERM; while :; do sleep 0.05; done")
    client("stop", "-t", "0", "deaf")
    assert state(client, "deaf") == "exited 137"
    asked = "trap 'exit 3' USR1; echo up; while :; do sleep 0.05; done"
    detached(client, "--name", "asked", "--stop-signal", "USR1", "busybox", "sh", "-c", asked)
    eventually(lambda: client("logs", "asked"), "up\n")
    client("stop", "-t", "20", "asked")
    assert state(client, "asked") == "exited 3"
    assert client("stop", "asked") == "asked\n", "to stop what stands is no error"


def test_start_runs_it_again_and_returns_its_status(client: Client):
    client(
        "create", *NONE, "--name", "again", "busybox", "sh", "-c", "echo x >> /file; wc -l < /file; exit 4"
    )
    assert client("start", "again") == "again\n"
    assert client("wait", "again") == "4\n"
    assert client("start", "-a", "again", status=4) == "2\n"
    assert client("wait", "again") == "4\n"
    client("create", *NONE, "-i", "--name", "fed", "busybox", "cat")
    assert client("start", "-ai", "fed", stdin=b"food") == "food"
    assert "No such container" in client.refused("start", "none")


def test_wait_waits_and_prints_each(client: Client):
    for number in (1, 2):
        detached(client, "--name", f"w{number}", "busybox", "sh", "-c", f"sleep 0.{number}; exit {number}")
    assert client("wait", "w1", "w2") == "1\n2\n"


def test_names_change_and_are_free_again(client: Client):
    id_ = detached(client, "--name", "old", "busybox", "sleep", "600")
    client("rename", "old", "new")
    assert client("ps", "-q", "--no-trunc", "-f", "name=new").strip() == id_
    detached(client, "--name", "old", "busybox", "sleep", "600")
    assert "in use" in client.refused("rename", "new", "old")
    assert client("rm", "-f", "old", "new") == "old\nnew\n"


def test_pause_stands_still(client: Client):
    detached(client, "--name", "pp", "busybox", "sh", "-c", "while :; do date +%s%N > /n; done")
    client("pause", "pp")
    assert state(client, "pp", "{{.State.Status}}") == "paused"
    assert "paused" in client.refused("exec", "pp", "true")
    client("unpause", "pp")
    assert client("exec", "pp", "echo", "x") == "x\n"
    assert "not paused" in client.refused("unpause", "pp")
    client("pause", "pp")
    client("rm", "-f", "pp")


# ---- restarts and health ---------------------------------------------------------------------------------


def test_a_failure_is_tried_again_as_often_as_asked(client: Client):
    detached(client, "--name", "rr", "--restart", "on-failure:2", "busybox", "sh", "-c", "echo x; exit 5")
    eventually(lambda: state(client, "rr", "{{.RestartCount}} {{.State.Status}}"), "2 exited")
    assert client("logs", "rr") == "x\n" * 3
    detached(client, "--name", "good", "--restart", "on-failure", "busybox", "true")
    assert client("wait", "good") == "0\n"
    assert state(client, "good", "{{.RestartCount}} {{.State.Status}}") == "0 exited"


def test_always_means_until_somebody_stops_it(client: Client):
    detached(client, "--name", "aa", "--restart", "always", "busybox", "sh", "-c", "sleep 0.1; exit 1")
    eventually(lambda: int(state(client, "aa", "{{.RestartCount}}")) >= 2)
    client("stop", "-t", "0", "aa")
    assert state(client, "aa", "{{.State.Status}}") == "exited"
    client("update", "--restart", "no", "aa")
    assert state(client, "aa", "{{.HostConfig.RestartPolicy.Name}}") == "no"


def test_health_is_probed_and_reported(client: Client):
    flags = ("--health-cmd", "test -e /well", "--health-interval", "100ms", "--health-retries", "1")
    detached(client, "--name", "hh", *flags, "busybox", "sleep", "600")
    eventually(lambda: state(client, "hh", "{{.State.Health.Status}}"), "unhealthy")
    client("exec", "hh", "touch", "/well")
    eventually(lambda: state(client, "hh", "{{.State.Health.Status}}"), "healthy")
    assert "(healthy)" in client("ps", "--format", "{{.Status}}")
    assert client("ps", "-q", "-f", "health=healthy") != ""
    assert client("ps", "-q", "-f", "health=unhealthy") == ""


# ---- limits ----------------------------------------------------------------------------------------------


def limits(client: Client, name: str) -> list[int]:
    wanted = "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}"
    return [int(one) for one in state(client, name, wanted).split()]


def test_limits_hold_and_change(client: Client):
    flags = ("-m", "64m", "--memory-swap", "64m", "--cpus", "0.5", "--pids-limit", "20", "-c", "512")
    detached(client, "--name", "ll", *flags, "--cpuset-cpus", "0", "busybox", "sleep", "600")
    assert limits(client, "ll") == [64 << 20, 500_000_000, 20]
    assert client("exec", "ll", "nproc") == "1\n"
    forks = "for i in $(seq 40); do sleep 600 >/dev/null 2>&1 & done 2>&1 | grep -c fork"
    assert int(client("exec", "ll", "sh", "-c", f"{forks}; true")) > 0
    row = json.loads(client("stats", "--no-stream", "--format", "json", "ll"))
    assert row["MemUsage"].endswith("/ 64MiB")
    client("update", "-m", "128m", "--memory-swap", "128m", "--cpus", "1", "--pids-limit", "50", "ll")
    assert limits(client, "ll") == [128 << 20, 1_000_000_000, 50]
    row = json.loads(client("stats", "--no-stream", "--format", "json", "ll"))
    assert row["MemUsage"].endswith("/ 128MiB")
    client("rm", "-f", "ll")


def test_a_program_that_takes_too_much_memory_is_killed_and_that_is_reported(client: Client):
    flags = ("-m", "16m", "--memory-swap", "16m", "--name", "fat")
    script = "x=x; while :; do x=$x$x; done"
    assert client.run("run", *NONE, *flags, "busybox", "sh", "-c", script).returncode == 137
    assert state(client, "fat", "{{.State.OOMKilled}}") == "true"


# ---- what is told ----------------------------------------------------------------------------------------


def test_top_shows_who_runs(client: Client):
    detached(client, "--name", "tt", "-u", "alice", "busybox", "sleep", "612")
    assert "sleep 612" in client("top", "tt")
    assert re.search(r"PID\s+(ARGS|COMMAND)\s*\n\s*\d+\s+sleep 612", client("top", "tt", "-o", "pid,args"))
    client("rm", "-f", "tt")


def test_logs_by_time_and_end_and_stream(client: Client):
    script = "echo one; read a; echo two >&2; read a; echo three"
    with client.start("run", *NONE, "-i", "--name", "log", "busybox", "sh", "-c", script) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr is not None
        # What comes in one piece has one time.
        for output, line in ((process.stdout, b"one\n"), (process.stderr, b"two\n")):
            assert output.readline() == line
            process.stdin.write(b"on\n")
            process.stdin.flush()
        assert process.stdout.read() == b"three\n"
    stamped = client("logs", "-t", "log").splitlines()
    first, third = (line.split()[0] for line in stamped)
    assert first < third
    done = client.run("logs", "log")
    assert (done.stdout, done.stderr) == (b"one\nthree\n", b"two\n")
    assert client("logs", "--since", third, "log") == "three\n"
    assert client("logs", "--until", first, "log") in ("", "one\n")
    assert client("logs", "-n", "1", "log") == "three\n"
    assert client("logs", "-n", "0", "log") == ""
    assert client("logs", "--since", "1h", "log") == "one\nthree\n"
    assert client("logs", "-f", "--tail", "all", "log") == "one\nthree\n", "of what has ended it ends too"


def test_a_log_turns_over_and_none_keeps_nothing(client: Client):
    flags = ("--log-opt", "max-size=1k", "--log-opt", "max-file=2")
    client("run", *NONE, "--name", "big", *flags, "busybox", "seq", "1", "200")
    kept = client("logs", "big").split()
    assert kept == [str(number) for number in range(201 - len(kept), 201)]
    assert 0 < len(kept) < 60
    client("run", *NONE, "--name", "mute", "--log-driver", "none", "busybox", "echo", "x")
    assert "not support" in client.refused("logs", "mute")


def test_events_show_a_life_in_order_and_by_filter(client: Client):
    since = f"{time.time():.9f}"
    id_ = detached(client, "--name", "first", "-l", "kind=test", "busybox", "sleep", "600")
    client("exec", "first", "true")
    client("pause", "first")
    client("unpause", "first")
    client("rename", "first", "renamed")
    client("kill", "renamed")
    client("wait", "renamed")
    client("rm", "renamed")
    client("run", "--rm", *NONE, "busybox", "true")
    until = f"{time.time():.9f}"

    def told(*filters: str) -> list[str]:
        flags = [word for one in filters for word in ("-f", one)]
        return client("events", "--since", since, "--until", until, *flags, "--format", "{{.Action}}").split(
            "\n"
        )[:-1]

    life = told("label=kind=test")
    assert [one.partition(":")[0] for one in life] == [
        "create", "start", "exec_create", "exec_start", "exec_die", "pause", "unpause", "rename", "kill",
        "die", "destroy",
    ]  # fmt: skip
    # The filter matches the beginnings of IDs too, so the name must not look like one.
    assert told("container=renamed", "event=die", "type=container") == ["die"]
    assert told("event=destroy") == ["destroy"] * 2
    assert told("type=volume") == []
    assert told("nonsense=1", "event=destroy") == ["destroy"] * 2, "docker minds no other filter"
    beginning = ("-f", f"container={id_}", "-f", "event=rename", "--until", until, "--format", "{{.Action}}")
    for since in ("0", "1970-01-01T00:00:00.000000000Z"):
        assert client("events", "--since", since, *beginning) == "rename\n"
    assert client("events", *beginning) == "rename\n"


def test_events_come_as_they_happen(client: Client):
    watcher = client.start(
        "events", "-f", "event=die", "--format", "{{.Actor.Attributes.exitCode}}", stdin=subprocess.DEVNULL
    )
    listening = lambda: json.loads(client("info", "--format", "json"))["NEventsListener"]  # noqa: E731
    eventually(listening, 1)
    client.run("run", "--rm", *NONE, "busybox", "sh", "-c", "exit 6")
    assert watcher.stdout is not None
    assert watcher.stdout.readline() == b"6\n"
    watcher.terminate()
    watcher.communicate(timeout=60)
    eventually(listening, 0)


def test_ps_shows_what_is_asked_for(client: Client):
    one = detached(client, "--name", "one", "-l", "a=1", "busybox", "sleep", "600")
    two = client("create", *NONE, "--name", "two", "-l", "a=2", "busybox", "true").strip()

    def ids(*filters: str) -> list[str]:
        return client("ps", "-aq", "--no-trunc", *(word for f in filters for word in ("-f", f))).split()

    assert ids() == [two, one]
    assert ids("label=a") == [two, one]
    assert ids("label=a=1") == [one]
    assert ids("status=created") == [two]
    assert ids("status=running", "name=one") == [one]
    assert ids("name=^/?o") == [one]
    assert ids(f"id={two[:8]}") == [two]
    assert ids("before=two") == [one]
    assert ids("since=one") == [two]
    assert ids("ancestor=busybox") == [two, one]
    assert ids("network=none") == [two, one]
    assert ids("exited=3") == []
    assert client("ps", "-q", "--no-trunc").split() == [one]
    assert client("ps", "-lq", "--no-trunc").split() == [two]
    assert client("ps", "-n", "1", "-q", "--no-trunc").split() == [two]
    assert re.search(r"one\s+0B \(virtual", client("ps", "-s", "--format", "table {{.Names}}\t{{.Size}}"))
    client("rm", "-f", "one", "two")
