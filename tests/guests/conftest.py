"""One guest for all, booted by the first that needs it. Only `nox -s guests` runs these tests."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.guests.systemd_guest import BUSYBOX, MAKE_BUSYBOX, Guest
from tests.guests.systemd_root import installed_tree, systemd_root
from tests.paths import CACHE, DOCS, GUESTS
from vm import Harness, VmConfig
from vm.network import point_to_point

MEMORY_MIB = 4096
PAGE = DOCS / "daemon.md"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if os.environ.get("NINETYNINE_GUESTS"):
        return
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="takes minutes: run nox -s guests"))


@pytest.fixture(scope="session")
def guest() -> Iterator[Guest]:
    """A Debian with systemd that has this tree at /ninetynine; the host reaches it by its address."""
    root, digest = systemd_root(CACHE)
    with tempfile.TemporaryDirectory(prefix="nv") as home, tempfile.TemporaryDirectory() as content:
        installed_tree(Path(content), root)
        with Harness(Path(home), GUESTS) as harness:
            config = VmConfig(
                image=harness.prepare(root, digest, own_kernel=True),
                memory_mib=MEMORY_MIB,
                vcpus=2,
                network=point_to_point(),
                data_disk_mib=1024,
                data_content=Path(content),
                init="/sbin/init",
                timeout_s=300,
            )
            with harness.start(config) as vm:
                guest = Guest(vm)
                guest.sh(MAKE_BUSYBOX)
                yield guest


@pytest.fixture(scope="session")
def unit(guest: Guest) -> Iterator[Guest]:
    """The guest with our units, by the commands of the documentation; the image bb:1 is there."""
    commands = re.search(r"```console\n\$ (ln -s [^`]+?)```", PAGE.read_text())
    assert commands, f"{PAGE} has no commands that install the units"
    guest.sh("set -e\n" + commands[1].replace("\n$ ", "\n"))
    guest.sh(f"docker import {BUSYBOX} bb:1")
    yield guest
    guest.run("docker rm -f $(docker ps -aq); systemctl disable --now nnd.socket nnd.service")
