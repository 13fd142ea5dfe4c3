"""What dockerd refuses, nnd refuses: when the container is made, with 400, and in dockerd's words."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.runtime.container_rootfs import build_rootfs
from tests.runtime.daemon_process import Daemon
from tests.runtime.docker_syntax.refused import LOG_OPTIONS, TMPFS_OPTIONS
from tests.runtime.own_dockerd import own_dockerd

pytestmark = [
    pytest.mark.root,
    pytest.mark.peers,
    pytest.mark.skipif(
        shutil.which("dockerd") is None or shutil.which("docker") is None,
        reason="needs dockerd: run `nox -s setup -- --peers`",
    ),
]


class Connection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=60)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)


def ask(host: str, method: str, target: str, body: object = None) -> tuple[int, Any]:
    connection = Connection(host.removeprefix("unix://"))
    connection.request(method, target, json.dumps(body), {"Content-Type": "application/json"})
    with connection.getresponse() as answer:
        data = answer.read()
    return answer.status, json.loads(data) if data.strip() else {}


def refusal(host: str, config: dict[str, Any]) -> tuple[str, int, str]:
    """When a container with this HostConfig is refused (create, start or never), and how."""
    body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none", **config}}
    status, answer = ask(host, "POST", "/containers/create", body)
    if status != 201:
        return "create", status, answer["message"]
    try:
        status, failed = ask(host, "POST", f"/containers/{answer['Id']}/start")
        return ("start", status, failed["message"]) if status >= 400 else ("never", status, "")
    finally:
        ask(host, "DELETE", f"/containers/{answer['Id']}?force=1")


@pytest.fixture(scope="module")
def dockerd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a dockerd of our own with the image busybox listens."""
    if os.geteuid() != 0:
        pytest.skip("dockerd needs root")
    rootfs = build_rootfs(tmp_path_factory.mktemp("busybox") / "root")
    with own_dockerd(tmp_path_factory.mktemp("dockerd")) as api:
        host = f"unix://{api.path}"
        tar = subprocess.run(["tar", "-cC", rootfs, "."], capture_output=True, check=True)
        line = ["docker", "--host", host, "import", "-", "busybox"]
        subprocess.run(line, input=tar.stdout, check=True, capture_output=True)
        yield host


def port(binding: str, key: str = "80/tcp") -> dict[str, Any]:
    return {"PortBindings": {key: [{"HostPort": binding}]}}


def restarts(name: str, count: int) -> dict[str, Any]:
    return {"RestartPolicy": {"Name": name, "MaximumRetryCount": count}}


WORDED: list[dict[str, Any]] = [
    *({"LogConfig": {"Type": driver, "Config": options}} for driver, options, _ in LOG_OPTIONS),
    *(port(one) for one in ("abc", "90-80", "70000", "-1", "8000-", " 80")),
    *({"ExtraHosts": [one]} for one in ("a", "a:", "a:b", ":1.2.3.4", "a:1.2.3.4:5", "a:10.0.0.256")),
    *(restarts(*one) for one in (("bogus", 0), ("on-failure", -1), ("always", 1), ("no", 2))),
]
"""Refused by both, in the same words."""
REFUSED: list[dict[str, Any]] = [
    *({"Tmpfs": {"/t": one}} for one in TMPFS_OPTIONS if one not in ("bogus", "size", "exec=1")),
    *({"LogConfig": {"Type": "json-file", "Config": {f"{one}-regex": "("}}} for one in ("labels", "env")),
    *(port("", key) for key in ("abc", "70000/tcp", "80-90/tcp")),
    *({"Sysctls": {one: "1"}} for one in ("vm.swappiness", "kernel.shm_x", "kernel.hostname", "net")),
    *(
        {"Ulimits": [{"Name": "nofile", "Soft": soft, "Hard": hard}]}
        for soft, hard in ((5, 2), (-1, 2), (-5, -5))
    ),
    {"Ulimits": [{"Name": "bogus", "Soft": 1, "Hard": 1}]},
    *({"SecurityOpt": [f"no-new-privileges={one}"]} for one in ("yes", "")),
]
"""Refused by both; by dockerd at the start, or of a name alone, or in the kernel's words."""
TAKEN: list[dict[str, Any]] = [
    {"LogConfig": {"Type": "json-file", "Config": {"max-size": "10 m", "max-file": "+2", "compress": "t"}}},
    {"LogConfig": {"Type": "local", "Config": {"max-size": "1KiB"}}},
    {"LogConfig": {"Type": "none", "Config": {"anything": "goes"}}},
    *(port(one) for one in ("", "0", "80", "80-90")),
    *({"ExtraHosts": [one]} for one in ("a:1.2.3.4", "a:::1")),
    *(
        {"Tmpfs": {"/t": one}}
        for one in ("size=50%", "nr_inodes=1k", "size=0x10000", "mode=1777,noexec", "uid=7")
    ),
    *(
        {"Sysctls": {one: "1"}}
        for one in ("kernel.shmmax", "kernel.domainname", "kernel.msgmax", "fs.mqueue.msg_max")
    ),
    {"Ulimits": [{"Name": "nofile", "Soft": 512, "Hard": 1024}]},
    *(
        {"SecurityOpt": [one]}
        for one in ("no-new-privileges", "no-new-privileges:T", "no-new-privileges=false")
    ),
]


@pytest.mark.parametrize("config", WORDED, ids=json.dumps)
def test_it_is_refused_in_dockerds_words(daemon: Daemon, dockerd: str, config: dict[str, Any]):
    when, status, words = refusal(daemon.host, config)
    assert (when, status) == ("create", 400)
    theirs = refusal(dockerd, config)
    assert theirs[0] != "never"
    assert theirs[2].endswith(words)


@pytest.mark.parametrize("config", REFUSED, ids=json.dumps)
def test_it_is_refused_by_both(daemon: Daemon, dockerd: str, config: dict[str, Any]):
    assert refusal(dockerd, config)[0] != "never"
    assert refusal(daemon.host, config)[:2] == ("create", 400)


@pytest.mark.parametrize("config", TAKEN, ids=json.dumps)
def test_it_is_taken_by_both(daemon: Daemon, dockerd: str, config: dict[str, Any]):
    assert refusal(dockerd, config)[0] == "never"
    assert refusal(daemon.host, config)[0] == "never"
