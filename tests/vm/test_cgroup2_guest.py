"""Our container runtime where there is cgroup v2 only: its own tests and real containers, inside a guest."""

import importlib.util
from pathlib import Path

import pytest
from vm_builders import busybox_layer

from vm.guest import CONTENT, stage, v2_guest
from vm.initramfs import CONTAINER_MODULES

pytestmark = [pytest.mark.qemu, pytest.mark.root, pytest.mark.slow, pytest.mark.timeout(900)]

REPOSITORY = Path(__file__).parents[2]
CHECKS = Path(__file__).parent / "in_guest/check_containers.py"
PYTHON = ("python3-minimal", "python3-msgspec", "python3-isal", "python3-pytest", "python3-hypothesis")
DAEMON = (
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
PYTEST = ["python3", "-m", "pytest", "-q", "-rA", "-o", "addopts=", "-p", "no:cacheprovider"]


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """The project, what it imports that the guest's Debian has not, and a root for containers."""
    if not list((REPOSITORY / "runtime/spawn").glob("_tape*.so")):
        pytest.skip("the runtime's C extension is not built in place")
    content = tmp_path_factory.mktemp("content")
    pyroute2 = Path(importlib.util.find_spec("pyroute2").origin).parent
    stage(content, [REPOSITORY / "runtime", REPOSITORY / "pyproject.toml", pyroute2, CHECKS])
    stage(content, [REPOSITORY / "conftest.py"])
    stage(content / "tests", [REPOSITORY / "tests/runtime"])
    busybox_layer(content / "layer")
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
    assert " passed" in in_guest(guest, "tests/runtime/cgroups")


def test_containers_start_are_limited_frozen_and_killed_on_v2(guest):
    said = in_guest(guest, CHECKS.name)
    assert "PASSED" in said
    print(next(line for line in said.splitlines() if line.startswith("FIGURES")))


def test_the_daemon_serves_docker_on_v2(guest):
    """Limits and their change, and memory that runs out: what the layout of cgroups can break."""
    assert " passed" in in_guest(guest, "tests/runtime/api/test_client_limits.py", "-k", "docker")
