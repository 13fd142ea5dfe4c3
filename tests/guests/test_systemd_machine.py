"""The machine that people have: does it come up, and does all that we have work there?"""

from __future__ import annotations

import json

import pytest

from tests.guests.systemd_guest import Guest

pytestmark = [
    pytest.mark.root,
    pytest.mark.qemu,
    pytest.mark.network,
    pytest.mark.slow,
    pytest.mark.timeout(1200, func_only=True),
]

SOCKETS = "tests/runtime/api/test_passed_sockets.py"
SEEN = "tests/runtime/api/test_seen_limits.py"
PYTEST = "python -m pytest -q -n 2 --benchmark-disable -p no:cacheprovider -o addopts=--strict-markers"


def test_it_boots_as_debian_does(guest: Guest) -> None:
    assert guest.sh("systemctl is-system-running --wait") == "running"
    assert guest.sh("stat -fc %T /sys/fs/cgroup") == "cgroup2fs"
    assert guest.sh("cat /proc/1/comm") == "systemd"
    assert (
        guest.sh("systemctl is-active systemd-networkd systemd-resolved nftables").split() == ["active"] * 3
    )


def test_doctor_finds_the_machine_as_it_is(guest: Guest) -> None:
    checks = json.loads(guest.sh("ninetynine doctor --quick --json"))["checks"]
    (cgroups,) = (check for check in checks if check["name"] == "cgroups")
    assert (cgroups["state"], cgroups["found"].split(";")[0]) == ("ok", "v2"), cgroups
    assert [check for check in checks if check["state"] == "bad"] == []


def test_a_smoke_run_measures_and_leaves_nothing(guest: Guest) -> None:
    before = guest.census()
    line = "ninetynine run --profile smoke --backends host,runtime,nnd --seed 7 --out /var/tmp/smoke --json"
    status, said = guest.run(f"{line} 2>/var/tmp/smoke.log", timeout_s=900)
    assert status == 0, said + guest.sh("cat /var/tmp/smoke.log")
    measured = {row["arm"] for row in json.loads(said)["verdicts"]}
    assert {"runtime", "nnd"} <= measured
    assert guest.changed_since(before) == {}


@pytest.mark.parametrize(
    "tests",
    [
        "tests/runtime/spawn/cgroups",
        "tests/runtime/engine --ignore tests/runtime/engine/service -m 'root and not network'",
        "tests/runtime/network -m 'root or network'",
        f"tests/runtime/api/test_client_limits.py {SOCKETS} -k 'client_limits and docker or passed_sockets'",
    ],
    ids=["cgroups", "engine", "network", "api"],
)
def test_the_runtimes_own_tests_pass(guest: Guest, tests: str) -> None:
    assert " passed" in guest.sh(f"{PYTEST} {tests}", timeout_s=900)


def test_what_other_hosts_may_leave_out_is_all_here(guest: Guest) -> None:
    """Before Linux 6.15 overlay takes no detached mounts as layers, which those with mapped owners were."""
    tests = f"tests/runtime/api/test_apparmor.py {SEEN} tests/runtime/engine/test_user_namespace.py"
    said = guest.sh(f"{PYTEST} {tests} -k 'not seen_limits or what_openjdk_looks_for'", timeout_s=900)
    assert " passed" in said
    assert "skipped" not in said
