"""Our container runtime on another machine than this one: its own tests and real containers, inside a guest.

It has cgroup v2 only, and Debian's kernel and Python, which are others than the host's may be.
"""

import importlib.util
from pathlib import Path

import pytest

from tests.paths import REPOSITORY
from tests.runtime.container_rootfs import build_rootfs
from vm.cgroup2_guest import CONTENT, stage, v2_guest
from vm.initramfs import CONTAINER_MODULES

pytestmark = [pytest.mark.qemu, pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(900)]

CHECKS = Path(__file__).parent / "in_guest/check_containers.py"
PYTHON = ("python3-minimal", "python3-msgspec", "python3-isal", "python3-pytest", "python3-hypothesis")
DAEMON = (
    "apparmor",
    "python3-aiohttp",
    "python3-dnspython",
    "python3-jsonschema",
    "python3-rich",
    "python3-typer",
    "python3-typing-extensions",
    "python3-urllib3",
    "python3-zstandard",
    "busybox-static",
    "docker-cli",
)
PYTEST = [
    "python3",
    "-m",
    "pytest",
    "-q",
    "-rA",
    "-o",
    "addopts=--import-mode=importlib",
    "-p",
    "no:cacheprovider",
]


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The project, what it imports that the guest's Debian has not, and a root for containers."""
    if not list((REPOSITORY / "runtime/spawn").glob("_tape*.so")):
        pytest.skip("the runtime's C extension is not built in place")
    content = tmp_path_factory.mktemp("content")
    pyroute2 = Path(importlib.util.find_spec("pyroute2").origin).parent
    stage(content, [REPOSITORY / "runtime", REPOSITORY / "pyproject.toml", pyroute2, CHECKS])
    stage(
        content / "tests",
        [
            REPOSITORY / "tests" / name
            for name in ("__init__.py", "conftest.py", "paths.py", "waiting.py", "runtime")
        ],
    )
    build_rootfs(content / "layer")
    return content


@pytest.fixture(scope="module")
def guest(harness, content, debian):
    image = harness.prepare(*debian((*PYTHON, *DAEMON, "procps", "nftables")), CONTAINER_MODULES)
    with v2_guest(harness, image, content, memory_mib=2048) as vm:
        yield vm


def in_guest(guest, *arguments):
    """Run pytest in the guest; its whole output is the failure's message."""
    done = guest.exec([*PYTEST, *arguments], cwd=CONTENT, timeout_s=600)
    said = done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
    assert done.exit_code == 0, said
    return said


def test_the_guest_has_cgroup_v2_and_nothing_else(guest):
    assert guest.exec(["cat", "/proc/self/cgroup"]).stdout == b"0::/\n"
    controllers = guest.exec(["cat", "/sys/fs/cgroup/cgroup.controllers"]).stdout.split()
    assert {b"cpu", b"memory", b"pids", b"io", b"cpuset"} <= set(controllers)
    assert guest.exec(["grep", "-c", " cgroup ", "/proc/mounts"]).stdout == b"0\n"


def test_the_runtimes_cgroup_tests_pass_on_v2(guest):
    assert " passed" in in_guest(guest, "tests/runtime/spawn/cgroups")


def test_containers_start_are_limited_frozen_and_killed_on_v2(guest):
    said = in_guest(guest, CHECKS.name)
    assert "PASSED" in said
    print(next(line for line in said.splitlines() if line.startswith("FIGURES")))


def test_the_daemon_serves_docker_on_v2(guest):
    """Limits and their change, and memory that runs out: what the layout of cgroups can break."""
    assert " passed" in in_guest(guest, "tests/runtime/api/test_client_limits.py", "-k", "docker")


def test_java_would_see_its_limits_on_v2(guest):
    assert " passed" in in_guest(
        guest, "tests/runtime/api/test_seen_limits.py", "-k", "what_openjdk_looks_for"
    )


def test_user_namespaces_work_on_debians_kernel(guest):
    """Before Linux 6.15 overlay takes no detached mounts as layers, which those with mapped owners were."""
    said = in_guest(guest, "tests/runtime/engine/test_user_namespace.py")
    assert "SKIPPED" not in said


def test_a_passed_socket_stays_with_debians_python(guest):
    """Python 3.13 removes the file of a socket that create_unix_server() was given."""
    assert " passed" in in_guest(guest, "tests/runtime/api/test_passed_sockets.py")


@pytest.mark.parametrize(
    ("file", "test"),
    [
        ("engine/spawner/test_spawner_survival.py", "test_its_end_frees_everything"),
        ("engine/test_container_mounts.py", "test_what_the_container_mounts_stays_there"),
        ("engine/test_hardening.py", "test_the_init_cannot_be_overwritten"),
    ],
)
def test_what_asks_the_host_is_true_of_v2_and_of_tmp_in_memory_too(guest, file, test):
    guest.exec(["sh", "-c", "mountpoint -q /tmp || mount -t tmpfs tmp /tmp"])
    assert " passed" in in_guest(guest, f"tests/runtime/{file}", "-k", test)


def test_containers_are_in_a_profile_where_the_kernel_has_apparmor(guest):
    """As Debian's has; it can be seen once its file system is mounted, as systemd does."""
    assert guest.exec(["mount", "-t", "securityfs", "none", "/sys/kernel/security"]).exit_code == 0
    said = in_guest(guest, "tests/runtime/api/test_apparmor.py")
    assert " passed" in said and "skipped" not in said
