"""Execs and process lists through the real clients."""

from __future__ import annotations

import json
import re

import pytest

from tests.runtime.clients import Client
from tests.waiting import eventually

pytestmark = pytest.mark.root


def test_it_runs_as_who_where_and_with_what_is_said(client: Client):
    client.detached("--name", "box", "-e", "A=1", "-w", "/etc", "busybox", "sleep", "600")
    assert client("exec", "box", "pwd") == "/etc\n"
    assert client("exec", "-w", "/tmp", "-e", "B=2", "box", "sh", "-c", "pwd; echo $A$B") == "/tmp\n12\n"
    assert client("exec", "-e", "A", "box", "sh", "-c", "echo ${A-none}") == "none\n"
    assert client("exec", "-u", "alice", "box", "id", "-un") == "alice\n"
    assert client("exec", "-u", "12:34", "box", "sh", "-c", "id -u; id -g") == "12\n34\n"
    assert client("exec", "-i", "box", "cat", stdin=b"typed") == "typed"
    done = client.run("exec", "box", "sh", "-c", "echo out; echo err >&2; exit 9")
    assert (done.stdout, done.stderr, done.returncode) == (b"out\n", b"err\n", 9)


def test_privileged_has_all_rights_and_the_container_still_has_its_few(client: Client):
    client.detached("--name", "box", "busybox", "sleep", "600")
    asked = ("box", "grep", "CapEff", "/proc/self/status")
    few, all_ = (int(client("exec", *flags, *asked).split()[1], 16) for flags in ((), ("--privileged",)))
    assert few & ~all_ == 0 and all_.bit_count() > few.bit_count()
    assert int(client("exec", "box", "grep", "CapEff", "/proc/1/status").split()[1], 16) == few


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (("box", "/nowhere"), 127, "no such file or directory"),
        (("box", "nowhere"), 127, "executable file not found"),
        (("box", "/etc/passwd"), 126, "permission denied"),
        (("-u", "nobody-here", "box", "true"), 126, "unable to find user nobody-here"),
        (("-w", "/none", "box", "true"), 126, "/none"),
        (("-w", "etc", "box", "true"), 126, "Cwd must be an absolute path"),
    ],
)
def test_what_cannot_start_has_a_status_and_a_reason(
    client: Client, words: tuple[str, ...], status: int, said: str
):
    client.detached("--name", "box", "busybox", "sleep", "600")
    done = client.run("exec", *words)
    assert (done.returncode, said in (done.stdout + done.stderr).decode()) == (status, True), done


def test_detached_it_goes_on_alone(client: Client):
    client.detached("--name", "box", "busybox", "sleep", "600")
    assert client("exec", "-d", "box", "sh", "-c", "echo made > /made; exec sleep 61") == ""
    eventually(lambda: client.run("exec", "box", "cat", "/made").stdout, b"made\n")
    assert "sleep 61" in client("top", "box")
    assert client("inspect", "-f", "{{len .ExecIDs}}", "box") == "1\n"


def test_only_a_running_container_takes_one(client: Client):
    client.detached("--name", "box", "busybox", "sleep", "600")
    client("pause", "box")
    assert "paused" in client.refused("exec", "box", "true")
    client("unpause", "box")
    client("exec", "box", "true")
    client("stop", "box")
    for verb in (("exec", "box", "true"), ("top", "box")):
        assert "is not running" in client.refused(*verb)
    assert "No such container" in client.refused("exec", "nobody", "true")


def test_its_end_ends_what_was_started_in_it(client: Client):
    client.detached("--name", "box", "-i", "busybox", "sh", "-c", "read a")
    with client.start("exec", "box", "sh", "-c", "echo up; sleep 600") as beside:
        assert beside.stdout is not None and beside.stdout.readline() == b"up\n"
        client("kill", "box")
        assert beside.wait(60) == 137


def test_much_goes_through_one(client: Client):
    client.detached("--name", "box", "busybox", "sleep", "600")
    data = bytes(range(256)) * 4096 * 8
    assert client.run("exec", "-i", "box", "cat", stdin=data).stdout == data


def test_top_takes_the_options_of_ps(client: Client):
    client.detached("--name", "box", "busybox", "sh", "-c", "sleep 62 & exec sleep 63")

    def commands() -> list[str]:
        rows = [line.split(None, 1) for line in client("top", "box", "-o", "pid,args").splitlines()]
        return sorted(row[1].strip() for row in rows)

    eventually(commands, ["COMMAND", "sleep 62", "sleep 63"])
    rows = [line.split() for line in client("top", "box").splitlines()]
    assert rows[0][:3] == ["UID", "PID", "PPID"]
    assert sorted(row[-1] for row in rows[1:]) == ["62", "63"]
    assert client("top", "box", "aux").split()[0] == "USER"
    assert "PID" in client.refused("top", "box", "-o", "args")
    assert client.refused("top", "box", "-o", "nonsense")


def test_stats_print_once_and_again_and_again(client: Client):
    client.detached("--name", "box", "--memory", "64m", "busybox", "sh", "-c", "while :; do :; done")
    row = json.loads(client("stats", "--no-stream", "--format", "json", "box"))
    assert (row["Name"], row["PIDs"]) == ("box", "1")
    assert row["MemUsage"].endswith("/ 64MiB")
    assert float(row["CPUPerc"].rstrip("%")) > 1
    form = "{{.Name}} {{.CPUPerc}}"
    with client.start("stats", "--format", form, "box") as watching:
        assert watching.stdout is not None
        seen = b""
        while len(re.findall(rb"box \d+\.\d+%", seen)) < 2:
            seen += watching.stdout.readline()
        watching.terminate()
    assert "No such container" in client.refused("stats", "--no-stream", "nobody")
