"""Fixtures of the VM tests: short roots, a small Debian root, a harness."""

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest

from tests.paths import CACHE, GUESTS
from vm import Harness
from vm.command import cached
from vm.host_abilities import QBOOT
from vm.libvirt_domains import Domains
from vm.testing import FakeGuest

PACKAGES = (
    "apparmor", "base-files", "busybox-static", "coreutils", "dash", "findutils", "grep", "hostname",
    "iproute2", "iputils-ping", "mount", "procps", "python3-aiohttp", "python3-isal", "python3-msgspec",
    "python3-pytest", "python3-typing-extensions", "python3-urllib3", "python3-zstandard", "util-linux",
)  # fmt: skip
"""What guests have: tools, and all that the runtime needs inside one. One root is made for all."""
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


@pytest.fixture(scope="session")
def rootfs() -> tuple[Path, str]:
    """A few packages of Debian, unpacked but not installed, which takes a sixth of the time.

    It is built once per recipe; its directory and a digest of the recipe.
    """
    command = ["mmdebstrap", "--mode=root", "--variant=extract", f"--include={','.join(PACKAGES)}", "trixie"]
    key = hashlib.sha256(repr(command).encode()).hexdigest()[:12]

    def build(path: Path) -> None:
        subprocess.run([*command, str(path)], check=True, capture_output=True)
        subprocess.run(["chroot", path, "python3", "-m", "compileall", "-q", "/usr/lib"], check=True)

    return cached(CACHE / f"rootfs-{key}", build), key


@pytest.fixture(scope="session")
def harness():
    with (
        tempfile.TemporaryDirectory(prefix="nv") as root,
        Harness(Path(root), GUESTS, "tcg") as harness,
    ):
        yield harness


@pytest.fixture(scope="session")
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
