"""Nothing stays behind: after many starts, after failures, after a kill -9 of the engine's process."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from runtime.engine import ContainerConfig, Engine, EngineError
from runtime.spawn.cgroups import find_layout
from tests.runtime.host_traces import cgroups_of, links_of
from tests.waiting import eventually

pytestmark = pytest.mark.root


def traces(root: Path) -> dict[str, object]:
    """All that a container could leave on the host; only what is ours, since others may be at work."""
    layout = find_layout()
    trees = [*layout.v1.values(), *([layout.v2] if layout.v2 else [])]
    mine = f"nn-{os.getpid()}-"
    mounts = Path("/proc/self/mounts").read_text().splitlines()
    return {
        "mounts": [line for line in mounts if str(root) in line or line.startswith("anchor")],
        "cgroups": [
            len(list(top.glob("*/"))) for tree in trees for top in sorted(Path(tree).glob(f"{mine}*"))
        ],
        "directories": len(list(root.glob("run/*/*"))),
        "children": Path("/proc/thread-self/children").read_text(),
    }


def descriptors() -> Counter[str]:
    """How many files of each kind are open; names are without what differs from one container to the next."""
    found: Counter[str] = Counter()
    for path in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one that this list was read from
            found[re.sub(r"[0-9a-f]{8,}|\d+", "N", str(path.readlink()))] += 1
    return found


@pytest.mark.network
def test_after_200_starts_the_host_is_as_before(tmp_path, rootfs):
    with Engine(tmp_path) as engine:
        config = ContainerConfig(layers=(str(rootfs),), argv=("sh", "-c", "echo x > /file"), network="none")
        for _ in range(3):
            start(engine, config)
        before, opened = traces(tmp_path), descriptors()
        for number in range(200):
            start(engine, config)
            if number % 20 == 0:
                with pytest.raises(EngineError):
                    engine.create(ContainerConfig(layers=(str(rootfs),), argv=("nope",))).start()
        assert traces(tmp_path) == before
        assert descriptors() <= opened  # fewer: earlier tests' sockets are closed late
    assert not list((tmp_path / "run").iterdir())


def start(engine: Engine, config: ContainerConfig) -> None:
    container = engine.create(config)
    container.start()
    container.wait()
    container.remove()


def test_close_ends_what_still_runs(tmp_path, rootfs):
    engine = Engine(tmp_path)
    container = engine.create(ContainerConfig(layers=(str(rootfs),), argv=("sleep", "1000")))
    container.start()
    container.exec(["sleep", "1000"])
    engine.close()
    engine.close()
    assert not Path(f"/proc/{container.pid}").exists()
    assert not list((tmp_path / "run").iterdir())


VICTIM = """
import sys
from pathlib import Path
from runtime.engine import ContainerConfig, Engine
engine = Engine(Path(sys.argv[1]))
for cgroup in (True, False):
    config = ContainerConfig(
        layers=(sys.argv[2],), argv=("sh", "-c", "trap : TERM; sleep 1000 & sleep 1000"),
        cgroup=cgroup, network=sys.argv[3],
    )
    container = engine.create(config)
    print(container.start().pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.network
@pytest.mark.parametrize("network", ["none", "nat"])
def test_the_next_engine_frees_what_a_killed_one_left(tmp_path, rootfs, network):
    command = [sys.executable, "-c", VICTIM, str(tmp_path), str(rootfs), network]
    victim = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert victim.stdout is not None
    pids = [int(victim.stdout.readline()) for _ in range(2)]
    with Engine(tmp_path):  # the living are left alone
        assert all(Path(f"/proc/{pid}").exists() for pid in pids)
    assert cgroups_of(victim.pid)
    assert bool(links_of(victim.pid)) == (network == "nat")
    victim.send_signal(signal.SIGKILL)
    victim.wait()
    # From now on any engine that starts here may free its links and cgroups, and so end the first one.
    assert Path(f"/proc/{pids[1]}").exists()
    with Engine(tmp_path):
        eventually(lambda: any(is_running(pid) for pid in pids), False)
    assert not list((tmp_path / "run").iterdir())
    assert not cgroups_of(victim.pid)
    assert not links_of(victim.pid)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False
