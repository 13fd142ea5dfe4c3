"""Fixtures of the VM tests: short roots, a small Debian root per day, a harness per module."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from vm import Harness
from vm.command import cached
from vm.host_abilities import QBOOT
from vm.libvirt_domains import Domains
from vm.testing import FakeGuest

CACHE = Path(os.environ.get("NINETYNINE_TEST_CACHE", "/var/tmp/ninetynine-test-cache"))
INCLUDE = ("iproute2", "iputils-ping", "procps")
TOOLS = ("qemu-system-x86_64", "qemu-img", "mke2fs", "mmdebstrap")


def pytest_collection_modifyitems(items):
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    for item in items:
        if item.get_closest_marker("qemu") and (missing or os.geteuid()):
            reason = f"needs {', '.join(missing)}" if missing else "needs root"
            item.add_marker(pytest.mark.skip(reason=reason))
        if item.get_closest_marker("root") and os.geteuid():
            item.add_marker(pytest.mark.skip(reason="needs root"))


@pytest.fixture
def short_root():
    """A directory whose path is short enough for libvirt's sockets."""
    with tempfile.TemporaryDirectory(prefix="nv") as path:
        yield Path(path)


def debian_root(include=INCLUDE) -> tuple[Path, str]:
    """A small Debian, built once per recipe; its directory and a digest of the recipe."""
    command = ["mmdebstrap", "--mode=root", "--variant=minbase", f"--include={','.join(include)}", "trixie"]
    key = hashlib.sha256(repr(command).encode()).hexdigest()[:12]

    def build(path: Path) -> None:
        subprocess.run([*command, str(path)], check=True, capture_output=True)

    return cached(CACHE / f"rootfs-{key}", build), key


@pytest.fixture(scope="session")
def debian():
    """A function from package names to (directory, digest) of a Debian with them."""
    return debian_root


@pytest.fixture(scope="session")
def rootfs(debian):
    return debian()


@pytest.fixture(scope="module")
def harness():
    with (
        tempfile.TemporaryDirectory(prefix="nv") as root,
        Harness(Path(root), CACHE / "vm", "tcg") as harness,
    ):
        yield harness


@pytest.fixture(scope="module")
def image(harness, rootfs):
    return harness.prepare(*rootfs)


@pytest.fixture
def fake(short_root, tmp_path):
    """(harness, guest) on libvirt's in-process test driver: all of a VM's life except the machine."""
    pytest.importorskip("libvirt")
    if shutil.which("qemu-system-x86_64") is None or not QBOOT.parent.exists():
        pytest.skip("the harness looks for QEMU even where it is not started")
    guest = FakeGuest({"echo": lambda program: program.say(b"hello"), "cat&": lambda program: None})
    driver = Domains("test:///default", short_root)
    with Harness(short_root, tmp_path, "tcg", driver=driver, connect=guest.connect) as harness:
        yield harness, guest
