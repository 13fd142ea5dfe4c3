"""What clients find after a `kill -9` of the daemon: logs without a gap, terminals to reattach to."""

from __future__ import annotations

import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.runtime.clients import Client

pytestmark = [pytest.mark.root, pytest.mark.own_daemon]


def killed(client: Client) -> None:
    client.daemon.terminate(signal.SIGKILL)
    client.daemon.start()


@pytest.mark.parametrize("client", ["nn"], indirect=True)
def test_a_log_has_each_line_once_over_several_kills(client: Client):
    """It writes as fast as it can, so that each kill comes while output is on its way."""
    words = ("--name", "box", "--log-opt", "max-size=5m", "--log-opt", "max-file=20")
    client.detached(*words, "busybox", "sh", "-c", "seq 1 200000 & seq 1 200000 >&2; wait")
    for _ in range(2):
        killed(client)
    assert client("wait", "box") == "0\n"
    done = client.run("logs", "box")
    expected = b"".join(b"%d\n" % number for number in range(1, 200_001))
    assert done.stdout == expected
    assert done.stderr == expected


@pytest.mark.parametrize("client", ["nn"], indirect=True)
def test_what_was_written_while_there_was_no_daemon_is_there(client: Client, tmp_path: Path):
    words = ("--name", "box", "-v", f"{tmp_path}:/out", "busybox")
    client.detached(*words, "sh", "-c", "until [ -e /out/go ]; do sleep 0.05; done; seq 1 3000; exit 5")
    pid = client("inspect", "-f", "{{.State.Pid}}", "box").strip()
    client.daemon.terminate(signal.SIGKILL)
    (tmp_path / "go").touch()
    while Path(f"/proc/{pid}").exists():
        time.sleep(0.02)
    client.daemon.start()
    assert client("wait", "box") == "5\n"
    assert client("logs", "box").split() == [str(number) for number in range(1, 3001)]


@pytest.mark.parametrize("client", ["docker"], indirect=True)
def test_following_begins_again_where_it_was_left(client: Client):
    client.detached(
        "--name", "box", "busybox", "sh", "-c", "i=0; while :; do echo $((i+=1)); sleep 0.01; done"
    )
    with client.start("logs", "-f", "box") as follower:
        assert follower.stdout is not None and follower.stdout.readline() == b"1\n"
        killed(client)
        assert (b"\n" + follower.stdout.read()).endswith(b"\n")  # no line was cut off
    with client.start("logs", "-f", "--tail", "3", "box") as follower:
        assert follower.stdout is not None
        first = int(follower.stdout.readline())
        assert [int(follower.stdout.readline()) for _ in range(5)] == list(range(first + 1, first + 6))
        client("kill", "box")
        follower.communicate(timeout=60)


def test_terminals_and_execs_are_there_to_come_back_to(client: Client):
    terminal = client.terminal("run", "-it", "--name", "box", "--network", "none", "busybox", "sh")
    terminal.until(b"# ")
    beside = client.terminal("exec", "-it", "box", "sh")
    beside.until(b"# ")
    beside.send(b"echo $$ > /pid; word=ke''pt; echo wr''itten\r")
    beside.until(b"written\r\n")
    killed(client)
    assert terminal.end() != 0
    assert beside.end() != 0
    again = client.terminal("attach", "box")
    again.send(b"kill -HUP $(cat /pid); echo b''ack\r")
    again.until(b"back\r\n")
    again.send(b"exit 6\r")
    assert again.end() == 6
    assert client("exec", "box", "true", status=1) == ""


@pytest.mark.parametrize("client", ["nn"], indirect=True)
def test_input_goes_on_and_ends(client: Client):
    client.detached(
        "--name", "box", "-i", "busybox", "sh", "-c", "while read a; do echo got $a; done; exit 3"
    )
    killed(client)
    with client.start("attach", "box") as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(b"one\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"got one\n"
        process.kill()
    client("kill", "box")
    assert client("logs", "box") == "got one\n"


def test_a_run_that_waits_fails_with_a_reason_and_the_program_goes_on(client: Client):
    with client.start(
        "run", "--name", "box", "busybox", "sh", "-c", "echo up; sleep 600", stdin=subprocess.DEVNULL
    ) as run:
        assert run.stdout is not None and run.stdout.readline() == b"up\n"
        killed(client)
        _, said = run.communicate(timeout=60)
        assert run.returncode != 0 and said
    assert client("inspect", "-f", "{{.State.Running}}", "box") == "true\n"
