"""Our container runtime on another machine than this one: its own tests and real containers, inside a guest.

It has cgroup v2 only, and Debian's kernel and Python, which are others than the host's may be.
"""

import os
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.paths import REPOSITORY
from tests.runtime.container_rootfs import build_rootfs
from tests.vm.cgroup2_guest import CONTAINER_MODULES, CONTENT, stage, v2_guest

pytestmark = [pytest.mark.qemu, pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(1800)]

CHECKS = Path(__file__).parent / "in_guest/check_containers.py"
BAD = ("failure", "error")
RESULTS = "/root/results.xml"
PYTEST = (
    *("python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={RESULTS}"),
    *("-o", "addopts=--import-mode=importlib", "-o", "junit_logging=system-out"),
)
ON_DISK = (
    CHECKS.name,
    "tests/runtime/spawn/cgroups",
    "tests/runtime/api/test_apparmor.py",
    "tests/runtime/api/test_passed_sockets.py",
    "tests/runtime/engine/test_user_namespace.py",
    "tests/runtime/api/test_client_limits.py",
    "tests/runtime/api/test_seen_limits.py",
)
CHOSEN = "not client_limits and not seen_limits or client_limits and docker or what_openjdk_looks_for"
IN_MEMORY = (
    "tests/runtime/engine/spawner/test_spawner_survival.py::test_its_end_frees_everything",
    "tests/runtime/engine/test_container_mounts.py::test_what_the_container_mounts_stays_there",
    "tests/runtime/engine/test_hardening.py::test_the_init_cannot_be_overwritten",
)


@pytest.fixture(scope="module")
def content(tmp_path_factory, rootfs):
    """The project, compiled by the guest's Python but not in the guest, and a root for containers."""
    if not list((REPOSITORY / "runtime/spawn").glob("_tape*.so")):
        pytest.skip("the runtime's C extension is not built in place")
    content = tmp_path_factory.mktemp("content")
    stage(content, [REPOSITORY / "runtime", REPOSITORY / "pyproject.toml", CHECKS])
    stage(
        content / "tests",
        [
            REPOSITORY / "tests" / name
            for name in ("__init__.py", "conftest.py", "paths.py", "waiting.py", "runtime")
        ],
    )
    compile_all = ["/usr/bin/python3", "-P", "-m", "compileall", "-q", "-p", CONTENT, "runtime", "tests"]
    subprocess.run(compile_all, cwd=content, preexec_fn=lambda: os.chroot(rootfs[0]), check=True)
    build_rootfs(content / "layer")
    return content


@pytest.fixture(scope="module")
def guest(harness, content, rootfs):
    image = harness.prepare(*rootfs, CONTAINER_MODULES)
    with v2_guest(harness, image, content, memory_mib=2048) as vm:
        yield vm


@pytest.fixture(scope="module")
def on_disk(guest):
    """With the file system mounted by which one sees that the kernel has AppArmor, as systemd does."""
    mount(guest, "securityfs", "/sys/kernel/security")
    return in_guest(guest, *ON_DISK, "-k", CHOSEN)


@pytest.fixture(scope="module")
def in_memory(guest, on_disk):
    """/tmp is in memory, as systemd has it."""
    mount(guest, "tmpfs", "/tmp")
    return in_guest(guest, *IN_MEMORY)


def mount(guest, kind, where):
    assert guest.exec(["mount", "-t", kind, "none", where]).exit_code == 0


def in_guest(guest, *arguments):
    """Run pytest in the guest, once for many files (its start takes seconds there): case by name."""
    done = guest.exec([*PYTEST, *arguments], cwd=CONTENT, timeout_s=1500)
    said = done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
    assert done.exit_code in (0, 1), said
    cases = ElementTree.fromstring(guest.exec(["cat", RESULTS]).stdout).iter("testcase")
    return {f"{case.get('classname')}.{case.get('name')}": case for case in cases}


def passed(cases, part):
    """Those of which the name contains `part`: some passed, none failed; names of what was left out."""
    chosen = {name: case for name, case in cases.items() if part in name}
    bad = [f"{name}\n{found.text}" for name, case in chosen.items() for found in case if found.tag in BAD]
    assert not bad, "\n\n".join(bad)
    skipped = {name for name, case in chosen.items() if case.find("skipped") is not None}
    assert chosen.keys() - skipped
    return skipped


def test_the_guest_has_cgroup_v2_and_nothing_else(guest):
    assert guest.exec(["cat", "/proc/self/cgroup"]).stdout == b"0::/\n"
    controllers = guest.exec(["cat", "/sys/fs/cgroup/cgroup.controllers"]).stdout.split()
    assert {b"cpu", b"memory", b"pids", b"io", b"cpuset"} <= set(controllers)
    assert guest.exec(["grep", "-c", " cgroup ", "/proc/mounts"]).stdout == b"0\n"


def test_the_runtimes_cgroup_tests_pass_on_v2(on_disk):
    passed(on_disk, "runtime.spawn.cgroups.")


def test_containers_start_are_limited_frozen_and_killed_on_v2(on_disk):
    passed(on_disk, CHECKS.stem)
    said = next(case for name, case in on_disk.items() if "ten_starts" in name).findtext("system-out")
    print(next(line for line in said.splitlines() if line.startswith("FIGURES")))


def test_the_daemon_serves_docker_on_v2(on_disk):
    """Limits and their change, and memory that runs out: what the layout of cgroups can break."""
    passed(on_disk, "test_client_limits")


def test_java_would_see_its_limits_on_v2(on_disk):
    passed(on_disk, "test_seen_limits")


def test_user_namespaces_work_on_debians_kernel(on_disk):
    """Before Linux 6.15 overlay takes no detached mounts as layers, which those with mapped owners were."""
    assert passed(on_disk, "test_user_namespace") == set()


def test_a_passed_socket_stays_with_debians_python(on_disk):
    """Python 3.13 removes the file of a socket that create_unix_server() was given."""
    passed(on_disk, "test_passed_sockets")


@pytest.mark.parametrize("module", ["spawner_survival", "container_mounts", "hardening"])
def test_what_asks_the_host_is_true_of_v2_and_of_tmp_in_memory_too(in_memory, module):
    passed(in_memory, f"test_{module}")


def test_containers_are_in_a_profile_where_the_kernel_has_apparmor(on_disk):
    assert passed(on_disk, "test_apparmor") == set()
