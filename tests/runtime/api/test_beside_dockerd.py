"""Documents of `nnd` beside those of a dockerd, field by field: the same keys, types and empty lists.

Both daemons are real and have the same image; containers are without networks, to leave the host's alone.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.backends.daemons.docker_api import DockerApi
from tests.runtime.daemon_process import Daemon
from tests.runtime.own_dockerd import own_dockerd

pytestmark = [
    pytest.mark.root,
    pytest.mark.peers,
    pytest.mark.skipif(shutil.which("dockerd") is None, reason="needs dockerd: apt-get install docker.io"),
    pytest.mark.skipif(shutil.which("docker") is None, reason="needs docker: apt-get install docker-cli"),
]

Both = dict[str, DockerApi]
WRITE = "dd if=/dev/zero of=/data/written bs=64k count=4 oflag=direct"
SCRIPT = f"cat /data/read > /dev/null; {WRITE}; exec sleep 1000"


def docker(api: DockerApi, *words: str, stdin: bytes = b"") -> str:
    """Run docker's command at one of them."""
    line = ["docker", "-H", f"unix://{api.path}", *words]
    return subprocess.run(line, input=stdin, stdout=subprocess.PIPE, check=True).stdout.decode()


@pytest.fixture(scope="module")
def both(daemon: Daemon, rootfs: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Both daemons, each with busybox."""
    with own_dockerd(tmp_path_factory.mktemp("dockerd")) as theirs:
        ours = DockerApi(daemon.socket)
        packed = subprocess.run(["tar", "-C", rootfs, "-c", "."], stdout=subprocess.PIPE, check=True).stdout
        docker(theirs, "import", "-", "busybox", stdin=packed)
        yield {"ours": ours, "theirs": theirs}


@pytest.fixture
def containers(both: Both) -> Iterator[Both]:
    """A container `one` runs on both; it has read and written a block device, where /var/tmp is on one."""
    directory = Path(tempfile.mkdtemp(prefix="nnd-test-", dir="/var/tmp"))
    body = {
        "Image": "busybox",
        "Cmd": ["sh", "-c", SCRIPT],
        "HostConfig": {"NetworkMode": "none", "Memory": 1 << 28, "Binds": [f"{directory}:/data"]},
    }
    try:
        for api in both.values():
            (directory / "read").write_bytes(bytes(1 << 20))
            _forget(directory / "read")
            api.ask("POST", "/containers/create?name=one", body)
            api.ask("POST", "/containers/one/start")
            while api.ask("GET", "/containers/one/top")["Processes"][0][-1] != "sleep 1000":
                time.sleep(0.01)
        yield both
    finally:
        for api in both.values():
            api.ask("DELETE", "/containers/one?force=1", allow=(404,))
        shutil.rmtree(directory)


def _forget(path: Path) -> None:
    """Let the kernel drop its cache of a file, so that the next reader asks the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def shape(found: Any) -> Any:
    """A document without its values: names, types, and whether a list has anything in it."""
    if isinstance(found, dict):
        return {key: shape(value) for key, value in found.items()}
    if isinstance(found, list):
        return [shape(found[0])] if found else []
    return type(found).__name__


def counts_processors(api: DockerApi) -> bool:
    """Whether the container `one` has a cgroup of its own that counts each processor's time."""
    pid = api.ask("GET", "/containers/one/json")["State"]["Pid"]
    rows = [line.split(":") for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines()]
    return any("cpuacct" in row[1].split(",") and row[2] != "/" for row in rows)


def test_what_a_container_uses(containers: Both):
    """On v1 `memory_stats.stats` had one field of 32, and lists without entries were null."""
    found = {name: api.ask("GET", "/containers/one/stats?stream=false") for name, api in containers.items()}
    if not counts_processors(containers["ours"]):
        for part in ("cpu_stats", "precpu_stats"):
            found["theirs"][part]["cpu_usage"].pop("percpu_usage", None)
    assert shape(found["ours"]) == shape(found["theirs"])


def test_devices_and_what_was_done_to_them(containers: Both):
    tables = [
        api.ask("GET", "/containers/one/stats?stream=false&one-shot=true")["blkio_stats"]
        for api in containers.values()
    ]
    ours, theirs = (
        {
            (name, row["major"], row["minor"], row["op"]): row["value"]
            for name in ("io_service_bytes_recursive", "io_serviced_recursive")
            for row in table[name] or ()
        }
        for table in tables
    )
    assert ours.keys() == theirs.keys()
    written = {key for key in theirs if key[3].lower() == "write" and key[0].startswith("io_service_bytes")}
    assert {key: ours[key] for key in written} == {key: theirs[key] for key in written}


@pytest.mark.parametrize("state", ["created", "exited"])
def test_what_a_container_uses_that_does_not_run(both: Both, state: str):
    found = []
    for api in both.values():
        body = {"Image": "busybox", "Cmd": ["true"], "HostConfig": {"NetworkMode": "none"}}
        api.ask("POST", "/containers/create?name=one", body)
        if state == "exited":
            api.ask("POST", "/containers/one/start")
            api.ask("POST", "/containers/one/wait")
        found.append(api.ask("GET", "/containers/one/stats?stream=false"))
        api.ask("DELETE", "/containers/one")
    ours, theirs = found
    assert ours | {"id": ""} == theirs | {"id": ""}


def test_an_exec_before_and_after_it_ran(containers: Both):
    """`CanRemove` was true once it had ended, and `ExecIDs` left out what had not begun."""
    ids = {
        name: api.ask("POST", "/containers/one/exec", {"Cmd": ["sh", "-c", "exit 3"], "AttachStdout": True})
        for name, api in containers.items()
    }

    def documents() -> list[dict[str, Any]]:
        found = []
        for name, api in containers.items():
            one = api.ask("GET", f"/exec/{ids[name]['Id']}/json")
            inspected = api.ask("GET", "/containers/one/json")
            assert inspected["Id"] == one.pop("ContainerID")
            assert one.pop("ID") == ids[name]["Id"]
            found.append(one | {"Pid": bool(one["Pid"]), "listed": len(inspected["ExecIDs"] or ())})
        return found

    ours, theirs = documents()
    assert ours == theirs
    for name, api in containers.items():
        api.ask("POST", f"/exec/{ids[name]['Id']}/start", {"Detach": True})
        while api.ask("GET", f"/exec/{ids[name]['Id']}/json")["ExitCode"] is None:
            time.sleep(0.01)
    ours, theirs = documents()
    assert ours["ExitCode"] == 3
    assert ours == theirs


@pytest.mark.parametrize(
    "script",
    [
        "grep ' /dev ' /proc/mounts",
        "stat -f -c '%b %S' /dev",
        "ls /dev; ls -l /dev | sed 's/ [A-Z].*:.. / /'",
        "for link in /dev/*; do readlink $link; done; true",
    ],
)
def test_dev_is_the_same(both: Both, script: str):
    """It had 64 KiB, and a `core` that led nowhere where the kernel has no /proc/kcore."""
    words = ["run", "--rm", "--network", "none", "busybox", "sh", "-c", script]
    ours, theirs = (docker(api, *words) for api in both.values())
    assert ours == theirs


def test_the_bytes_that_a_container_wrote(both: Both):
    """A symbolic link counted nothing, and a container that had written nothing had a `SizeRw` of 0."""
    words = ("run", "--network", "none", "--label", "sized", "--name")
    script = "ln -s twelve-bytes /link; mkdir /directory; echo hi > /one; ln /one /two; rm /etc/passwd"
    found = []
    for api in both.values():
        docker(api, *words, "wrote", "busybox", "sh", "-c", script)
        docker(api, *words, "idle", "busybox", "true")
        rows = api.ask("GET", '/containers/json?all=1&size=1&filters={"label":["sized"]}')
        inspected = [api.ask("GET", f"/containers/{name}/json?size=1") for name in ("idle", "wrote")]
        docker(api, "rm", "wrote", "idle")
        sizes = ("SizeRw", "SizeRootFs")
        found.append([{name: one.get(name) for name in sizes} for one in (*rows, *inspected)])
    ours, theirs = found
    assert ours == theirs
    assert [one["SizeRw"] for one in ours] == [None, 15, 0, 15]
