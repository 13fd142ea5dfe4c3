"""The systems under test, by the name a user types. A new system is one file and one line here."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.backends.base import Backend
from bench.backends.crun import CrunBackend
from bench.backends.docker import DockerBackend
from bench.backends.host import HostBackend
from bench.backends.nnd import NndBackend
from bench.backends.runtime import RuntimeBackend
from bench.backends.vm import VmBackend

Factory = Callable[[Path], Backend]
"""Makes a backend whose files are below the given directory; it does nothing until it is used."""


def _again(root: Path) -> HostBackend:
    """Return the host under another name: its verdicts must come out equal, which tests the suite itself."""
    backend = HostBackend(root)
    backend.name = "again"
    return backend


BACKENDS: dict[str, Factory] = {
    "host": HostBackend,
    "runtime": RuntimeBackend,
    "nnd": NndBackend,
    "vm": VmBackend,
    "vm-untuned": partial(VmBackend, profile="untuned"),
    "docker": DockerBackend,
    "crun": CrunBackend,
    "again": _again,
}
