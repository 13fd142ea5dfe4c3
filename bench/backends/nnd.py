"""Our own daemon, through the same API as Docker's: for what is measured of a daemon.

Its containers are made by the engine that `runtime` drives in process, so their CPU, memory, network and disk
are measured there; here it is images, registries and the way of a command through client and daemon. Each run
has a daemon of its own, in a directory of its own.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib import metadata
from pathlib import Path

from bench.backends.base import InstanceSpec, NotAvailable
from bench.backends.docker import DockerBackend
from bench.backends.docker_api import DockerApi
from bench.backends.docker_daemon import Daemon
from bench.backends.nnd_daemon import NndDaemon, remove
from bench.model import BackendInfo


class NndBackend(DockerBackend):
    """Owns a daemon of this project."""

    name = "nnd"
    engine_only = True

    def probe(self) -> BackendInfo | NotAvailable:
        """Root is all it takes: what it is made of came with the suite."""
        if os.geteuid() != 0:
            return NotAvailable(
                "a daemon needs root (its containers' namespaces, overlays, cgroups); run as root"
            )
        if _program("nn") is None:
            return NotAvailable("the client nn is not installed beside Python; run `nox -s setup`")
        details = {"daemon": "a daemon of our own", "start": "API create, attach, start"}
        return BackendInfo(
            name=self.name, version=f"ninetynine {metadata.version('ninetynine')}", details=details
        )

    def unsupported(self, spec: InstanceSpec) -> str | None:
        """As an instance it has no network here; `runtime` has them all."""
        if spec.network in ("bridge", "nat"):
            return "nnd is measured without networks; `runtime` makes the same containers with them"
        return None

    def running(self) -> DockerApi | None:
        """One that runs on this host belongs to somebody and may be of another version: it is left alone."""
        return None

    def make_daemon(self, directory: Path) -> Daemon:
        """Start one."""
        return NndDaemon(directory)

    def remove(self, directory: Path) -> None:
        """End what a daemon left that had `directory`, and delete it."""
        remove(directory)

    def client(self, api: DockerApi) -> tuple[str, ...]:
        """The beginning of nn's command lines."""
        return (_program("nn") or "nn", "--host", f"unix://{api.path}")


def _program(name: str) -> str | None:
    """The program beside this Python, where the suite's own ones are."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if os.access(beside, os.X_OK) else shutil.which(name)
