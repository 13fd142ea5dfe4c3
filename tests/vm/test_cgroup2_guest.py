"""Our container runtime on another machine than this one: real containers and a daemon, inside a guest.

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

CHECKS = tuple(Path(__file__).parent / f"in_guest/check_{name}.py" for name in ("containers", "daemon"))
BAD = ("failure", "error")
RESULTS = "/root/results.xml"
PYTEST = (
    *("python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={RESULTS}"),
    *("-o", "addopts=--import-mode=importlib", "-o", "junit_logging=system-out"),
)
HELPERS = [
    *("tests/__init__.py", "tests/paths.py", "tests/waiting.py", "tests/runtime/__init__.py"),
    *(f"tests/runtime/{name}.py" for name in ("container_rootfs", "daemon_api", "daemon_process")),
]


@pytest.fixture(scope="module")
def content(tmp_path_factory, rootfs):
    """The project, compiled by the guest's Python but not in the guest, and a root for containers."""
    if not list((REPOSITORY / "runtime/spawn").glob("_tape*.so")):
        pytest.skip("the runtime's C extension is not built in place")
    content = tmp_path_factory.mktemp("content")
    stage(content, [REPOSITORY / "runtime", REPOSITORY / "pyproject.toml", *CHECKS])
    for name in HELPERS:
        stage((content / name).parent, [REPOSITORY / name])
    compile_all = ["/usr/bin/python3", "-P", "-m", "compileall", "-q", "-p", CONTENT, "."]
    subprocess.run(compile_all, cwd=content, preexec_fn=lambda: os.chroot(rootfs[0]), check=True)
    build_rootfs(content / "layer")
    return content


@pytest.fixture(scope="module")
def guest(harness, content, rootfs):
    image = harness.prepare(*rootfs, CONTAINER_MODULES)
    with v2_guest(harness, image, content) as vm:
        for kind, where in (("securityfs", "/sys/kernel/security"), ("tmpfs", "/tmp")):  # as systemd does
            assert vm.exec(["mount", "-t", kind, "none", where]).exit_code == 0
        yield vm


@pytest.fixture(scope="module")
def cases(guest):
    """Run pytest in the guest, once for both files (its start takes seconds there): case by name."""
    done = guest.exec([*PYTEST, *(path.name for path in CHECKS)], cwd=CONTENT, timeout_s=1500)
    said = done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")
    assert done.exit_code in (0, 1), said
    found = ElementTree.fromstring(guest.exec(["cat", RESULTS]).stdout).iter("testcase")
    return {f"{case.get('classname')}.{case.get('name')}": case for case in found}


def passed(cases, part):
    """All whose name contains `part`, and there are some."""
    chosen = {name: case for name, case in cases.items() if part in name}
    bad = [f"{name}\n{found.text}" for name, case in chosen.items() for found in case if found.tag in BAD]
    assert not bad, "\n\n".join(bad)
    assert chosen
    assert not [name for name, case in chosen.items() if case.find("skipped") is not None]


def test_the_guest_has_cgroup_v2_and_nothing_else(guest):
    assert guest.exec(["cat", "/proc/self/cgroup"]).stdout == b"0::/\n"
    controllers = guest.exec(["cat", "/sys/fs/cgroup/cgroup.controllers"]).stdout.split()
    assert {b"cpu", b"memory", b"pids", b"io", b"cpuset"} <= set(controllers)
    assert guest.exec(["grep", "-c", " cgroup ", "/proc/mounts"]).stdout == b"0\n"


def test_containers_start_are_limited_frozen_and_killed_on_v2(cases):
    passed(cases, "check_containers")
    said = next(case for name, case in cases.items() if "ten_starts" in name).findtext("system-out")
    print(next(line for line in said.splitlines() if line.startswith("FIGURES")))


def test_the_daemon_limits_containers_on_v2_and_has_apparmor(cases):
    passed(cases, "check_daemon")
