"""Our own daemon, through the same API as Docker's: the containers that `docker run` and `nn run` give.

`runtime` makes the same containers in this process, without a daemon; here a start is what a client asks for
and waits for, and a container's network is one of the daemon's. Each run has a daemon of its own, in a
directory of its own and in the host's network namespace, as a user's is. Of the modes with a bridge, `nat` is
the daemon's default network, `bridge` one made for the run that does not masquerade.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from bench.backends import processes
from bench.backends.base import BenchImage, Footprint, InstanceSpec, NotAvailable
from bench.backends.docker import DockerBackend, DockerInstance
from bench.backends.docker_api import DockerApi
from bench.backends.docker_daemon import Daemon
from bench.backends.nnd_daemon import NndDaemon, remove
from bench.model import BackendInfo, NetworkMode

_ROUTED = "ninetynine-routed"
"""The network whose containers' own addresses are seen outside."""


class NndBackend(DockerBackend):
    """Owns a daemon of this project."""

    name = "nnd"

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
        """All of a spec can be honoured."""
        return None

    def prepare(self, image: BenchImage) -> None:
        """Start the daemon, load the image into it, and make the network that does not masquerade."""
        super().prepare(image)
        assert self._api is not None
        if self._api.ask("GET", f"/networks/{_ROUTED}", allow=(404,)) is None:
            options = {"com.docker.network.bridge.enable_ip_masquerade": "false"}
            self._api.ask("POST", "/networks/create", {"Name": _ROUTED, "Options": options})

    def instance(self, api: DockerApi, spec: InstanceSpec) -> NndInstance:
        """Start one container by the API of the daemon."""
        return NndInstance(api, self.client(api), self._image, spec)

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


class NndInstance(DockerInstance):
    """One container of the daemon's."""

    system = "nnd"

    def memory(self) -> Footprint:
        """Proportional set size of its processes; it has no shim, and the daemon is not counted."""
        self._drain()
        return processes.pss(processes.in_pid_namespace_of(self._state["State"]["Pid"]))

    def network(self, mode: NetworkMode) -> str:
        """The daemon's name of a network mode."""
        return {"nat": "bridge", "bridge": _ROUTED}.get(mode, mode)

    def cpuset(self, cpus: Sequence[int]) -> Sequence[int]:
        """None where the daemon, which was started with the CPUs of this process, has no others."""
        return () if set(cpus) == os.sched_getaffinity(0) else cpus


def _program(name: str) -> str | None:
    """The program beside this Python, where the suite's own ones are."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if os.access(beside, os.X_OK) else shutil.which(name)
