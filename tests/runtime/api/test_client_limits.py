"""Limits set and changed by docker's client and ours, checked in the container's own cgroup."""

from __future__ import annotations

import shlex
import subprocess
import time
from pathlib import Path

import pytest

from runtime.spawn.cgroups import find_layout
from tests.runtime.clients import Client

pytestmark = pytest.mark.root

NONE = "--network=none"
MIB = 1 << 20
V1 = bool(find_layout().v1)

FILES = {
    "memory": ("memory/memory.limit_in_bytes", "memory.max"),
    "low": ("memory/memory.soft_limit_in_bytes", "memory.low"),
    "both": ("memory/memory.memsw.limit_in_bytes", "memory.swap.max"),
    "quota": ("cpu/cpu.cfs_quota_us", "cpu.max"),
    "period": ("cpu/cpu.cfs_period_us", "cpu.max"),
    "shares": ("cpu/cpu.shares", "cpu.weight"),
    "pids": ("pids/pids.max", "pids.max"),
    "cpus": ("cpuset/cpuset.cpus", "cpuset.cpus"),
    "mems": ("cpuset/cpuset.mems", "cpuset.mems"),
}
"""What is limited → v1's file and v2's."""


def reading(*names: str) -> list[str]:
    """A program that prints what these limits are."""
    return ["cat", *(f"/sys/fs/cgroup/{FILES[name][0 if V1 else 1]}" for name in names)]


@pytest.mark.parametrize(
    ("flags", "name", "v1", "v2"),
    [
        ("-m 64m", "memory", str(64 * MIB), str(64 * MIB)),
        ("-m 64m --memory-reservation 32m", "low", str(32 * MIB), str(32 * MIB)),
        ("-m 64m", "both", str(128 * MIB), str(64 * MIB)),
        ("-m 64m --memory-swap 64m", "both", str(64 * MIB), "0"),
        ("--cpus 0.5", "quota", "50000", "50000 100000"),
        ("--cpu-quota 20000 --cpu-period 50000", "quota", "20000", "20000 50000"),
        ("--cpu-period 50000", "period", "50000", "max 50000"),
        ("--cpu-shares 333", "shares", "333", "33"),
        ("--pids-limit 50", "pids", "50", "50"),
        ("--pids-limit -1", "pids", "max", "max"),
        ("--cpuset-cpus 0", "cpus", "0", "0"),
        ("--cpuset-mems 0", "mems", "0", "0"),
    ],
)
def test_a_limit_is_that_of_the_cgroup(client: Client, flags: str, name: str, v1: str, v2: str):
    said = client("run", "--rm", NONE, *shlex.split(flags), "busybox", *reading(name))
    assert said.strip() == (v1 if V1 else v2)


@pytest.mark.skipif(not V1, reason="the v2 tree has no such limit for a process of a container to look at")
def test_the_speed_of_a_disk_is_limited(client: Client):
    disks = [disk for disk in Path("/sys/block").iterdir() if Path("/dev", disk.name).is_block_device()]
    if not disks:
        pytest.skip("no block device here")
    path, number = f"/dev/{disks[0].name}", (disks[0] / "dev").read_text().strip()
    client("create", "--name", "slow", NONE, "--device-write-iops", f"{path}:100", "busybox", *WRITES)
    asked = client("inspect", "-f", "{{len .HostConfig.BlkioDeviceWriteIOps}}", "slow").strip()
    said = client("start", "-a", "slow").strip()
    client("rm", "slow")
    assert said == (f"{number} 100" if asked == "1" else "")  # docker's client 26 forgets to ask


WRITES = ["cat", "/sys/fs/cgroup/blkio/blkio.throttle.write_iops_device"]


def test_limits_are_changed_while_it_runs_and_kept(client: Client):
    client("run", "-d", "--name", "box", NONE, "-m", "64m", "--stop-timeout", "0", "busybox", "sleep", "600")
    client("update", "-m", "100m", "--memory-swap", "200m", "--cpus", "0.7", "--pids-limit", "77", "box")
    client("update", "--cpu-shares", "333", "--cpuset-cpus", "0", "box")
    seen = client("exec", "box", *reading("memory", "both", "pids", "shares", "cpus")).split()
    wanted = [100, 200 if V1 else 100]
    assert seen == [*(str(one * MIB) for one in wanted), "77", "333" if V1 else "33", "0"]
    said = client.refused("update", "-m", "1g", "box")
    assert "Cannot update container" in said and "already set memoryswap limit" in said
    assert "NanoCPUs has already been set" in client.refused("update", "--cpu-quota", "30000", "box")
    client("update", "--pids-limit", "-1", "box")
    client("kill", "box")
    client("wait", "box")
    client("update", "-m", "32m", "--memory-swap", "32m", "box")
    client("start", "box")
    assert client("exec", "box", *reading("memory", "pids")).split() == [str(32 * MIB), "max"]
    client("rm", "-f", "box")


def test_processes_and_memory_have_their_limit(client: Client):
    many = "for n in 1 2 3 4 5 6 7 8; do sleep 99 & done; true"
    done = client.run("run", "--rm", NONE, "--pids-limit", "4", "busybox", "sh", "-c", many)
    assert b"an't fork" in done.stderr
    flags = ("--name", "fat", NONE, "-m", "16m", "--memory-swap", "16m")
    done = client.run("run", *flags, "busybox", "tail", "-c", "64m", "/dev/zero")
    assert done.returncode == 137
    state = client("inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", "fat")
    assert state.strip() == "true 137"
    client("rm", "fat")


def test_running_out_of_memory_is_reported_while_the_container_runs_on(client: Client):
    fat = "tail -c 64m /dev/zero > /dev/null; exec sleep 600"
    id_ = client.detached("--name", "fat", "-m", "16m", "--memory-swap", "16m", "busybox", "sh", "-c", fat)
    words = ("--since", "0", "-f", f"container={id_}", "-f", "event=oom", "-f", "event=die")
    watcher = client.start("events", *words, "--format", "{{.Action}}", stdin=subprocess.DEVNULL)
    assert watcher.stdout is not None
    assert watcher.stdout.readline() == b"oom\n"
    state = client("inspect", "-f", "{{.State.OOMKilled}} {{.State.Running}}", "fat")
    assert state.strip() == "true true"
    client("kill", "fat")
    assert watcher.stdout.readline() == b"die\n", "it is told once"
    watcher.terminate()
    watcher.communicate(timeout=60)
    client("rm", "fat")


def test_a_parent_cgroup_has_it_below(client: Client):
    parent = "/parent-of-a-test/deep"  # not by our prefix: a census beside it would count what it makes
    program = ["cat", "/proc/self/cgroup"]
    said = client("run", "--rm", NONE, "--cgroupns=host", f"--cgroup-parent={parent}", "busybox", *program)
    assert f":{parent}/nn-" in said
    assert "without `..`" in client.refused("run", "--rm", NONE, "--cgroup-parent=/../x", "busybox", "true")


def test_a_container_is_known_by_the_name_of_its_cgroup(client: Client):
    for _ in range(3):  # the first one's is made within the start, the others' ahead of it
        made = client.detached("busybox", "sleep", "600")
        pid = client("inspect", "-f", "{{.State.Pid}}", made).strip()
        own = Path(f"/proc/{pid}/cgroup").read_text()
        client("rm", "-f", made)
        assert {line.rpartition("/")[2] for line in own.splitlines() if "/nn-" in line} == {made}, own
        time.sleep(0.2)


def test_without_a_cgroup_namespace_its_place_in_the_hosts_tree_is_seen(client: Client):
    """On v2, where the path that the program reads is to lead there; on v1 dockerd shows its own, too."""
    own = "memory/memory.limit_in_bytes" if V1 else "$(sed -n s/0:://p /proc/self/cgroup)/memory.max"
    script = f"cat /proc/self/cgroup; cat /sys/fs/cgroup/{own}; ! touch /sys/fs/cgroup/x && ls /sys/fs/cgroup"
    said = client(
        "run", "--rm", NONE, "--cgroupns=host", "-m", "64m", "busybox", "sh", "-c", script
    ).splitlines()
    assert any("/nn-" in line for line in said), "the host's path"
    assert str(64 * MIB) in said
    assert V1 or any(line.startswith("nn-") for line in said), "what is beside it"
