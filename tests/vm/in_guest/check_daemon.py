"""Run by pytest inside the guest, as check_containers.py is: nnd, which is in the v2 tree itself."""

from pathlib import Path

import pytest

from tests.runtime.daemon_process import running_daemon

MIB = 1 << 20
ABLE = {"CapAdd": ["ALL"], "SecurityOpt": ["seccomp=unconfined"]}
FREE = {**ABLE, "SecurityOpt": ["seccomp=unconfined", "apparmor=unconfined"]}
MOUNT = ("mount", "-t", "tmpfs", "none", "/tmp")


@pytest.fixture(scope="module")
def api():
    with running_daemon(checked=False) as daemon:
        yield daemon.api
        daemon.remove_containers()


def started(api, *argv, **limits):
    """The id of a container without a network."""
    settings = {"Image": "busybox", "Cmd": argv, "HostConfig": {"NetworkMode": "none", **limits}}
    status, made = api("POST", "/containers/create", settings)
    assert status == 201, made
    assert api("POST", f"/containers/{made['Id']}/start") == (204, None)
    return made["Id"]


def state(api, container):
    return api("GET", f"/containers/{container}/json")[1]["State"]


def status_of(api, container):
    return api("POST", f"/containers/{container}/wait")[1]["StatusCode"]


def test_limits_are_seen_inside_and_can_be_changed(api):
    made = started(api, "sleep", "600", Memory=64 * MIB, NanoCpus=500_000_000, PidsLimit=50)
    inside = Path(f"/proc/{state(api, made)['Pid']}/root/sys/fs/cgroup")

    def seen():
        return [(inside / name).read_text().strip() for name in ("memory.max", "cpu.max", "pids.max")]

    assert seen() == [str(64 * MIB), "50000 100000", "50"]
    changes = {"Memory": 100 * MIB, "MemorySwap": 200 * MIB, "NanoCpus": 700_000_000, "PidsLimit": 77}
    assert api("POST", f"/containers/{made}/update", changes)[0] == 200
    assert seen() == [str(100 * MIB), "70000 100000", "77"]


def test_memory_that_runs_out_is_reported(api):
    made = started(api, "tail", "/dev/zero", Memory=16 * MIB, MemorySwap=16 * MIB)
    assert status_of(api, made) == 137
    assert state(api, made)["OOMKilled"]


def test_a_program_is_in_our_apparmor_profile_which_refuses_what_capabilities_allow(api):
    pid = state(api, started(api, "sleep", "600"))["Pid"]
    assert Path(f"/proc/{pid}/attr/current").read_text() == "nn-default (enforce)\n"
    assert status_of(api, started(api, *MOUNT, **ABLE)) != 0
    assert status_of(api, started(api, *MOUNT, **FREE)) == 0
