"""nnd, this project's daemon, through Docker's API: the containers that `docker run` and `nn run` start.

The backend `runtime` starts the same containers in the suite's own process, without a daemon. Here a start is
what an API client requests and waits for, and the container is on one of the daemon's networks. Each run
starts its own daemon, with its own directory, in the host's network namespace, where a user's daemon is. The
mode `nat` is the daemon's default network; `bridge` is a network made for the run, which does not masquerade.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from bench.backends.base import BenchImage, Footprint, InstanceSpec, NotAvailable
from bench.backends.daemons import nnd_daemon
from bench.backends.daemons.backend import DaemonBackend
from bench.backends.daemons.daemon_process import DaemonProcess
from bench.backends.daemons.docker_api import DockerApi
from bench.backends.daemons.instance import DaemonInstance
from bench.backends.daemons.nnd_daemon import NndDaemon
from bench.backends.programs import processes
from bench.model import BackendInfo, NetworkMode

_ROUTED = "ninetynine-routed"
"""The network that does not masquerade: its containers keep their addresses outside."""


class NndBackend(DaemonBackend):
    """Starts a daemon for the run."""

    name = "nnd"

    def probe(self) -> BackendInfo | NotAvailable:
        """Check for root and for the client: everything else came with the suite."""
        if os.geteuid() != 0:
            return NotAvailable(
                "a daemon needs root (its containers' namespaces, overlays, cgroups); run as root"
            )
        if _program("nn") is None:
            return NotAvailable("the client nn is not installed beside Python; run `nox -s setup`")
        details = {"daemon": "started by the suite", "start": "API create, attach, start"}
        return BackendInfo(
            name=self.name,
            kind="container",
            version=f"ninetynine {metadata.version('ninetynine')}",
            details=details,
        )

    def unsupported(self, spec: InstanceSpec) -> str | None:
        """None: every spec can be started."""
        return None

    def prepare(self, image: BenchImage) -> None:
        """Start the daemon, load the image into it, and create the network that does not masquerade."""
        super().prepare(image)
        assert self._api is not None
        if self._api.ask("GET", f"/networks/{_ROUTED}", allow=(404,)) is None:
            options = {"com.docker.network.bridge.enable_ip_masquerade": "false"}
            self._api.ask("POST", "/networks/create", {"Name": _ROUTED, "Options": options})

    def instance(self, api: DockerApi, spec: InstanceSpec) -> NndInstance:
        """Start one container by the API of the daemon."""
        return NndInstance(api, self.client(api), self._image, spec)

    def running(self) -> DockerApi | None:
        """None: a daemon that already runs belongs to someone else and may be another version."""
        return None

    def make_daemon(self, directory: Path) -> DaemonProcess:
        """Start an nnd."""
        return NndDaemon(directory)

    def remove(self, directory: Path) -> None:
        """End what a daemon left that had `directory`, and delete it. Idempotent."""
        nnd_daemon.remove(directory)

    def client(self, api: DockerApi) -> tuple[str, ...]:
        """Return the start of nn's command lines."""
        return (_program("nn") or "nn", "--host", f"unix://{api.path}")


class NndInstance(DaemonInstance):
    """One container."""

    system = "nnd"

    def memory(self) -> Footprint:
        """Proportional set size of its processes. There is no shim; the daemon is not counted."""
        self._drain()
        return processes.pss(processes.in_pid_namespace_of(self.pid))

    def network(self, mode: NetworkMode) -> str:
        """Return the daemon's name of a network mode."""
        return {"nat": "bridge", "bridge": _ROUTED}.get(mode, mode)

    def cpuset(self, cpus: Sequence[int]) -> Sequence[int]:
        """Return () when `cpus` are all CPUs of this process: the daemon was started on the same ones."""
        return () if set(cpus) == os.sched_getaffinity(0) else cpus


def _program(name: str) -> str | None:
    """Return the path of a program of the suite, which is installed beside this Python; else look in PATH."""
    beside = Path(sys.executable).with_name(name)
    return str(beside) if os.access(beside, os.X_OK) else shutil.which(name)
