"""Logs through the real clients: options, and following across rotations."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.runtime.clients import Client

pytestmark = pytest.mark.root

STAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z"


def ended(client: Client, script: str, *words: str) -> None:
    client.run("run", "--name", "box", "--network", "none", *words, "busybox", "sh", "-c", script)


def test_lines_are_whole_and_each_goes_to_its_stream(client: Client):
    ended(client, "printf on; echo err >&2; sleep 0.2; echo e; printf rest")
    done = client.run("logs", "box")
    assert (done.stdout, done.stderr) == (b"one\nrest", b"err\n")
    lines = client("logs", "-t", "box").splitlines()
    assert [re.fullmatch(rf"{STAMP} (\w+)", line)[1] for line in lines] == ["one", "rest"]  # type: ignore[index]


def test_tail_since_and_until_choose(client: Client):
    words = ("run", "-i", "--name", "box", "--network", "none", "busybox", "sh", "-c")
    with client.start(*words, "while read a; do echo $a; done") as process:
        assert process.stdin is not None and process.stdout is not None
        for line in (b"1\n", b"2\n", b"3\n", b"4\n"):  # what comes in one piece has one time
            process.stdin.write(line)
            process.stdin.flush()
            assert process.stdout.readline() == line
        process.stdin.close()
    assert client("logs", "--tail", "2", "box") == "3\n4\n"
    assert client("logs", "-n", "0", "box") == ""
    assert client("logs", "--tail", "all", "box") == client("logs", "box") == "1\n2\n3\n4\n"
    stamps = [line.split()[0] for line in client("logs", "-t", "box").splitlines()]
    assert client("logs", "--since", stamps[2], "box") == "3\n4\n"
    assert client("logs", "--until", stamps[1], "box") == "1\n2\n"
    assert client("logs", "--since", stamps[1], "--until", stamps[2], "--tail", "1", "box") in ("", "3\n")
    assert client("logs", "--since", "1h", "box") == "1\n2\n3\n4\n"
    assert client("logs", "--until", "1h", "box") == ""


def test_details_are_what_the_options_choose(client: Client):
    options = ("--log-opt", "labels=team", "--log-opt", "env-regex=^A", "--log-opt", "tag={{.Name}}")
    ended(client, "echo hi", *options, "--label", "team=x", "--label", "other=y", "-e", "AB=1", "-e", "C=2")
    assert client("logs", "--details", "box") == "AB=1,tag=box,team=x hi\n"
    path = Path(client("inspect", "-f", "{{.LogPath}}", "box").strip())
    assert json.loads(path.read_text())["attrs"] == {"AB": "1", "tag": "box", "team": "x"}


def test_rotated_files_are_read_as_one_and_the_oldest_go(client: Client):
    ended(client, "seq 1 2000", "--log-opt", "max-size=20k", "--log-opt", "max-file=3")
    kept = [int(line) for line in client("logs", "box").splitlines()]
    assert kept == list(range(kept[0], 2001))
    assert 500 < len(kept) < 2000
    path = Path(client("inspect", "-f", "{{.LogPath}}", "box").strip())
    assert sorted(one.name for one in path.parent.glob("log.json*")) == [
        "log.json",
        "log.json.1",
        "log.json.2",
    ]
    assert client("logs", "--tail", "600", "box").split()[0] == "1401"


def test_following_goes_on_over_rotations_until_the_end(client: Client):
    words = ("--name", "box", "--log-opt", "max-size=10k", "--log-opt", "max-file=2", "-i", "busybox")
    client.detached(
        *words, "sh", "-c", "echo 0; read a; for i in $(seq 1 60); do seq $i 60 3000; done; exit 3"
    )
    with client.start("logs", "-f", "box") as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == b"0\n"
        client.run("attach", "--detach-keys", "x", "box", stdin=b"go\n")
        lines = follower.stdout.read().split()
    assert [int(line) for line in lines] == [n for i in range(1, 61) for n in range(i, 3001, 60)]


def test_without_a_log_there_is_none_to_read(client: Client):
    assert (
        client("run", "--name", "box", "--network", "none", "--log-driver", "none", "busybox", "echo", "hi")
        == "hi\n"
    )
    assert "configured logging driver does not support reading" in client.refused("logs", "box")


def test_wrong_questions_are_refused(client: Client):
    assert "No such container" in client.refused("logs", "nobody")
    ended(client, "true")
    assert client.refused("logs", "--since", "yesterdayish", "box")
    assert "unknown log opt" in client.refused("create", "--log-opt", "colour=red", "busybox", "true")


@pytest.mark.parametrize("option", ["max-size=0", "max-size=0.1b", "labels-regex=("])
def test_log_options_that_cannot_be_used_make_no_container(client: Client, option: str):
    """They passed creation and failed after the start: the program ran and nobody read its output."""
    client.refused("create", "--name", "box", "--log-opt", option, "busybox", "echo", "hi")
    assert client("ps", "-aq") == ""
    ended(client, "echo hi", "--log-opt", "max-size=1k", "--log-opt", "labels-regex=^a")
    assert client("logs", "box") == "hi\n"
