"""Docker's command with each supported version of the API."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import docker
import pytest

from runtime.api.http.versions import NEWEST, OLDEST, text
from tests.runtime.daemon_process import Daemon

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(shutil.which("docker") is None, reason="needs docker-cli"),
]


@pytest.fixture
def speaking(daemon: Daemon) -> Iterator[Daemon]:
    """The daemon, whose commands of docker speak what DOCKER_API_VERSION says."""
    before = dict(daemon.environment)
    yield daemon
    daemon.environment.clear()
    daemon.environment.update(before)
    if left := daemon.docker("ps", "-aq").split():
        daemon.docker("rm", "-fv", *left)
    daemon.docker("network", "prune", "-f")


@pytest.mark.parametrize(("version", "writable"), [("1.43", True), ("1.44", False)])
def test_read_only_binds_of_old_clients_are_shallow(
    speaking: Daemon, version: str, writable: bool, tmp_path: Path
):
    speaking.environment["DOCKER_API_VERSION"] = version
    (tmp_path / "sub").mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", tmp_path / "sub"], check=True)
    try:
        binds = ("-v", f"{tmp_path}:/a:ro", "--mount", f"type=bind,source={tmp_path},target=/b,readonly")
        script = "touch /a/x && echo bad; touch /a/sub/x && echo a; touch /b/sub/x && echo b; true"
        said = speaking.docker("run", "--rm", *binds, "busybox", "sh", "-c", script)
        assert said == ("a\nb\n" if writable else "")
    finally:
        subprocess.run(["umount", tmp_path / "sub"], check=True)


# 1.29 and before follow the events for a container's end, 1.41 and before read raw streams.
@pytest.mark.parametrize(
    "version", [text(OLDEST), "1.29", "1.30", "1.41", "1.42", "1.43", "1.44", text(NEWEST)]
)
def test_a_client_of_each_version_is_served(speaking: Daemon, version: str, tmp_path: Path):
    speaking.environment["DOCKER_API_VERSION"] = version
    run = speaking.docker
    assert run("version", "--format", "{{.Client.APIVersion}}") == f"{version}\n"
    done = speaking.docker_run("run", "--rm", "busybox", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (done.stdout, done.returncode) == (b"out\n", 3)
    assert done.stderr.startswith(b"err\n")  # at 1.24 docker's command may end before its own removal
    id_ = run("run", "-d", "--name", "box", "-v", "/v", "busybox", "sleep", "600").strip()
    assert run("run", "-i", "--rm", "--volumes-from", "box", "busybox", "cat", stdin="in") == "in"
    assert run("exec", "box", "sh", "-c", "echo x; exit 0") == "x\n"
    assert run("ps", "-q", "--no-trunc", "-f", "name=box").strip() == id_
    assert json.loads(run("inspect", "box"))[0]["Id"] == id_
    assert "busybox" in run("images")
    assert run("cp", "box:/etc/passwd", str(tmp_path / "passwd")) == ""
    assert run("commit", "box", "made").startswith("sha256:")
    run("network", "create", "net")
    run("network", "connect", "net", "box")
    run("stop", "-t", "0", "box")
    assert run("logs", "box") == ""
    run("rm", "-v", "box")
    run("network", "rm", "net")
    run("rmi", "made")
    assert "Server Version" in run("info")


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("1.99", f"client version 1.99 is too new. Maximum supported API version is {text(NEWEST)}"),
        ("1.23", f"client version 1.23 is too old. Minimum supported API version is {text(OLDEST)}"),
    ],
)
def test_a_client_of_an_unknown_version_is_refused(speaking: Daemon, version: str, words: str):
    speaking.environment["DOCKER_API_VERSION"] = version
    assert words in speaking.docker("ps", check=False)


def test_clients_find_out_by_themselves(daemon: Daemon):
    client = docker.DockerClient(base_url=daemon.host, version="auto")
    assert client.api._version == text(NEWEST)
    assert client.version()["MinAPIVersion"] == text(OLDEST)
    client.close()
    said = subprocess.run(
        ["docker", "version", "--format", "{{.Client.APIVersion}} {{.Server.APIVersion}}"],
        env=daemon.environment | {"PATH": os.environ["PATH"]}, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    mine, theirs = said.split()
    assert theirs == text(NEWEST)
    assert tuple(map(int, mine.split("."))) <= NEWEST
