"""Run by pytest inside a guest that has cgroup v2 and nothing else: containers of our runtime, for real.

Not collected on the host (no `test_` in its name): test_cgroup2_guest.py stages and starts it.
"""

import json
import os
import time
from pathlib import Path

import pytest

from runtime.engine import ContainerConfig, Engine, Limits

LAYER = "/volume/layer"
ROOT = Path("/sys/fs/cgroup")


@pytest.fixture(scope="module")
def engine():
    with Engine(Path("/var/lib/ninetynine/runtime")) as engine:
        yield engine


@pytest.fixture
def start(engine):
    """Start a shell line in a container under limits; the container and the reading end of its output."""
    made = []

    def start(script, **limits):
        reader, writer = os.pipe()
        config = ContainerConfig(layers=(LAYER,), argv=("/bin/sh", "-c", script), limits=Limits(**limits))
        container = engine.create(config)
        made.append((container, reader))
        container.start(-1, writer, writer)
        os.close(writer)
        return container, reader

    yield start
    for container, reader in made:
        container.remove()
        os.close(reader)


def cgroup_of(pid) -> Path:
    return ROOT / Path(f"/proc/{pid}/cgroup").read_text().strip().removeprefix("0::/")


def until(condition, timeout_s=60.0):
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_there_is_no_other_hierarchy():
    assert Path("/proc/self/cgroup").read_text() == "0::/\n"


def test_the_program_is_born_in_its_cgroup_and_sees_it_as_the_root(start):
    container, reader = start("cat /proc/self/cgroup; sleep 100")
    assert os.read(reader, 100) == b"0::/\n"
    assert cgroup_of(container.pid) != ROOT
    assert str(container.pid) in (cgroup_of(container.pid) / "cgroup.procs").read_text().split()


def test_limits_are_the_kernels(start):
    container, _ = start("sleep 100", memory_max=64 << 20, pids_max=7, cpu_quota_us=20_000, cpu_weight=50)
    group = cgroup_of(container.pid)
    found = {
        name: (group / name).read_text().strip()
        for name in ("memory.max", "pids.max", "cpu.max", "cpu.weight")
    }
    assert found == {"memory.max": "67108864", "pids.max": "7", "cpu.max": "20000 100000", "cpu.weight": "50"}


def test_memory_beyond_the_limit_is_an_oom_kill(start):
    container, _ = start("tail /dev/zero", memory_max=24 << 20, swap_max=0)
    assert container.wait(60) == 137
    assert container.stats().oom_kills >= 1


def test_a_quota_throttles(start):
    container, _ = start("while :; do :; done", cpu_quota_us=10_000)
    until(lambda: (container.stats().throttled_periods or 0) >= 3)


def test_processes_beyond_the_limit_are_refused(start):
    # A shell whose fork fails ends, so it is not pid 1 that tries.
    container, reader = start("(for i in 1 2 3 4 5 6 7 8 9; do sleep 100 & done); exec sleep 100", pids_max=5)
    said = bytearray()
    while b"fork" not in said:
        said += os.read(reader, 1000)
    assert container.stats().pids <= 5


def test_a_paused_container_stands_still(start):
    container, reader = start("while :; do echo x; sleep 0.02; done")
    os.read(reader, 10)
    container.pause()
    assert "frozen 1" in (cgroup_of(container.pid) / "cgroup.events").read_text()
    os.set_blocking(reader, False)
    while drain(reader):
        pass
    time.sleep(0.3)
    assert drain(reader) == b""
    container.resume()
    until(lambda: drain(reader) != b"")


def drain(reader) -> bytes:
    try:
        return os.read(reader, 65536)
    except BlockingIOError:
        return b""


def test_remove_kills_every_process_and_takes_the_cgroup_away(start):
    container, _ = start("for i in 1 2 3; do sleep 100 & done; wait")
    group = cgroup_of(container.pid)
    until(lambda: container.stats().pids == 4)
    container.remove()
    assert not group.exists()


def test_no_process_sits_in_an_inner_node(engine):
    """v2 forbids processes beside enabled controllers, everywhere but in the root."""
    inner = [d for d in ROOT.rglob("*") if d.is_dir() and any(child.is_dir() for child in d.iterdir())]
    assert [str(d) for d in inner if (d / "cgroup.procs").read_text()] == []


def test_ten_starts_in_a_row(engine):
    """No figure is asserted, this being an emulated machine; they are printed for the host's log."""
    took = []
    for _ in range(10):
        reader, writer = os.pipe()
        container = engine.create(ContainerConfig(layers=(LAYER,), argv=("/bin/echo", "1")))
        begin = time.monotonic_ns()
        container.start(-1, writer, -1)
        os.close(writer)
        assert os.read(reader, 1) == b"1"
        took.append((time.monotonic_ns() - begin) / 1e6)
        os.close(reader)
        assert container.wait(10) == 0
        container.remove()
    print("FIGURES", json.dumps({"start_ms": sorted(took)}))
