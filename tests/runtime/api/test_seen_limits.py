"""Runtimes that size themselves by their cgroup (OpenJDK, Node) see its limits."""

from __future__ import annotations

import io
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.daemon_process import Daemon

pytestmark = pytest.mark.root

LIMITED = ("run", "--rm", "--network=none", "-m", "256m", "--cpus", "1")
REQUIRED = ("cpu", "cpuset", "cpuacct", "memory")
SHOWN = "cat /proc/cgroups; echo ==; cat /proc/self/cgroup; echo ==; cat /proc/self/mountinfo"
FILES = {
    "memory": ("memory.limit_in_bytes", "memory.max"),
    "quota": ("cpu.cfs_quota_us", "cpu.max"),
    "usage": ("cpuacct.usage", "cpu.stat"),
}


def found_by_openjdk(said: str) -> dict[str, str]:
    """Controller → directory, as in its cgroupSubsystem_linux.cpp; {} where it goes by the host's size."""
    known, own, mounts = said.split("==\n")
    rows = [line.split() for line in known.splitlines() if not line.startswith("#")]
    hierarchies = {row[0]: row[1] for row in rows if row[3] == "1"}
    if not set(REQUIRED) <= set(hierarchies):
        return {}
    paths = {name: line.split(":")[2] for line in own.splitlines() for name in line.split(":")[1].split(",")}
    pure = all(hierarchies[name] == "0" for name in REQUIRED)
    found = {}
    for line in mounts.splitlines():
        left, right = line.split(" - ")
        (root, where), (kind, _, options) = left.split()[3:5], right.split(" ")
        if pure and kind == "cgroup2":
            return dict.fromkeys(REQUIRED, where + paths[""].rstrip("/"))
        for name in set(options.split(",")) & set(REQUIRED) if kind == "cgroup" and not pure else ():
            found[name] = where + paths[name].removeprefix(root.rstrip("/")).rstrip("/")
    return found if set(found) == set(REQUIRED) else {}


def test_what_openjdk_looks_for_is_there_with_the_limits_in_it(daemon: Daemon) -> None:
    found = found_by_openjdk(daemon.docker(*LIMITED, "busybox", "sh", "-c", SHOWN))
    assert found, "without one of its controllers it takes a quarter of the host's memory for its heap"
    v2 = len(set(found.values())) == 1
    places = [f"{found['memory']}/{FILES['memory'][v2]}", f"{found['cpu']}/{FILES['quota'][v2]}"]
    memory, quota, usage = daemon.docker(
        *LIMITED, "busybox", "head", "-qn1", *places, f"{found['cpuacct']}/{FILES['usage'][v2]}"
    ).splitlines()
    assert (memory, quota.split()[0]) == (str(256 << 20), "100000")
    assert 0 < int(usage.split()[-1]) < 10**10, "that is the container's own account"


PROGRAMS = {
    "java": ("-XX:+PrintFlagsFinal", "-XshowSettings:system", "-version"),
    "node": ("-p", "[process.constrainedMemory(), require('os').availableParallelism()]"),
}
FIGURES = r"MaxHeapSize.*|(?:Effective CPU Count|Memory Limit):.*|^\[.*"


class Runtimes:
    """Programs of this host in a daemon's containers, which have its /usr."""

    def __init__(self, host: str) -> None:
        self._docker = ["docker", "--host", host]
        root = io.BytesIO()
        with tarfile.open(fileobj=root, mode="w") as tar:
            for name in ("bin", "lib", "lib64"):
                link = tarfile.TarInfo(name)
                link.type, link.linkname = tarfile.SYMTYPE, f"usr/{name}"
                tar.addfile(link)
        self._run("import", "-", "bare", data=root.getvalue())

    def figures(self, program: str, *limits: str) -> list[str]:
        """What the program says about memory and processors. Skips where it is not installed."""
        path = shutil.which(program)
        if path is None:
            pytest.skip(f"needs {program} on this host")
        path = str(Path(path).resolve())  # Debian's goes by /etc/alternatives
        places = ["/usr", *map(str, Path("/etc").glob("java-*"))]
        mounts = [f"--volume={place}:{place}:ro" for place in places]
        said = self._run("run", "--rm", "--network=none", *limits, *mounts, "bare", path, *PROGRAMS[program])
        return re.findall(FIGURES, said, re.MULTILINE)

    def _run(self, *words: str, data: bytes = b"") -> str:
        done = subprocess.run(
            [*self._docker, *words], input=data, capture_output=True, timeout=120, check=False
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return (done.stdout + done.stderr).decode()


def test_openjdk_sizes_its_heap_by_the_limit(daemon: Daemon) -> None:
    said = "\n".join(Runtimes(daemon.host).figures("java", "-m", "256m", "--cpus", "1"))
    heap = re.search(r"MaxHeapSize\s*=\s*(\d+)", said)
    assert heap is not None and int(heap[1]) <= 128 << 20
    assert "Effective CPU Count: 1" in said


@pytest.fixture(scope="module")
def ours_and_theirs(daemon: Daemon, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Runtimes]]:
    if shutil.which("dockerd") is None:
        pytest.skip("needs dockerd: run `nox -s setup -- --peers`")
    from tests.runtime.own_dockerd import own_dockerd  # guests, which run this file, too, have none

    with own_dockerd(tmp_path_factory.mktemp("dockerd")) as theirs:
        yield [Runtimes(daemon.host), Runtimes(f"unix://{theirs.path}")]


@pytest.mark.peers
@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("limits", ["-m 256m --cpus 1", "-m 1g --cpuset-cpus 0", "--cpus 1.5", ""])
def test_runtimes_see_what_they_see_under_dockerd(
    ours_and_theirs: list[Runtimes], program: str, limits: str
) -> None:
    ours, theirs = (runtimes.figures(program, *limits.split()) for runtimes in ours_and_theirs)
    assert ours == theirs != []
