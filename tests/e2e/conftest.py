"""One real run for all, in a room of its own: whatever is found there afterwards was left by it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.backends.resources import owned
from tests.e2e.leftovers import Room, adoption
from tests.e2e.real_runs import Finished, Ninetynine
from tests.paths import GUESTS, REPOSITORY

SHARED_CACHE = Path(os.environ.get("NINETYNINE_CACHE") or REPOSITORY / ".cache" / "ninetynine")


@pytest.fixture(scope="session")
def room() -> Iterator[Room]:
    """A cache with nobody else in it, but with the image and the guests' disks that exist already."""
    if os.geteuid() != 0:
        pytest.skip("a real run needs root")
    path = Path(tempfile.mkdtemp(prefix="nne2e-", dir="/var/tmp"))  # short: libvirt's sockets are below it
    (SHARED_CACHE / "image").mkdir(parents=True, exist_ok=True)
    (path / "image").symlink_to(SHARED_CACHE / "image")
    (path / "backends/vm").mkdir(parents=True)
    (path / "tmp").mkdir()
    for entry in GUESTS.glob("[!.]*"):
        if entry.name != "run":
            (path / "backends/vm" / entry.name).symlink_to(entry)
    try:
        yield Room(path)
    finally:
        owned.remove(path)


@pytest.fixture(scope="module", autouse=True)
def adopting() -> Iterator[None]:
    """What a killed run leaves behind becomes our child, so that it can be told from strangers' processes."""
    with adoption():
        yield


@pytest.fixture(scope="session")
def ninetynine(room: Room) -> Ninetynine:
    """The command line in that room."""
    return Ninetynine(room)


@pytest.fixture(scope="session")
def smoke(ninetynine: Ninetynine, room: Room, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """One smoke run of host, containers and VM, and what the host had before, meanwhile and afterwards."""
    out = tmp_path_factory.mktemp("smoke") / "run"
    before = room.census()
    line = ("--profile", "smoke", "--backends", "host,runtime,nnd,vm", "--seed", 7, "--out", out, "--json")
    child = ninetynine.start("run", *line)
    seen, stdout, stderr = room.watch(child)
    return Finished(
        directory=out,
        status=child.returncode,
        stdout=stdout,
        stderr=stderr,
        seen=seen,
        left=room.left(before),
    )
