"""Docker: the daemon that runs on this host, else one started for the run, which makes no bridge."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from bench.backends.base import Footprint, InstanceSpec, NotAvailable
from bench.backends.daemons import dockerd
from bench.backends.daemons.backend import DaemonBackend
from bench.backends.daemons.daemon_process import DaemonProcess
from bench.backends.daemons.docker_api import DockerApi
from bench.backends.daemons.dockerd import OwnDaemon
from bench.backends.daemons.instance import DaemonInstance
from bench.backends.programs import processes
from bench.backends.resources import mount_namespace
from bench.model import BackendInfo, NetworkMode


class DockerBackend(DaemonBackend):
    """Uses the host's daemon, or owns one."""

    name = "docker"

    def probe(self) -> BackendInfo | NotAvailable:
        """Look for a daemon that answers, or the programs to start one."""
        if shutil.which("docker") is None:
            return NotAvailable(
                "docker is not installed; run `nox -s setup -- --peers`, or install docker.io and docker-cli"
            )
        if os.geteuid() != 0:
            return NotAvailable("docker is measured as root only (its processes are weighed); run as root")
        running = dockerd.system_daemon()
        if running is not None:
            version = running.ask("GET", "/version")
            return self._info(str(version["Version"]), "the daemon that runs on this host", ())
        program = shutil.which("dockerd")
        if program is None:
            return NotAvailable("no Docker daemon answers, and dockerd is not installed to start one")
        if chroot := mount_namespace.why_unavailable():
            return NotAvailable(chroot)
        asked = subprocess.run([program, "--version"], capture_output=True, text=True)
        version_text = asked.stdout.removeprefix("Docker version ").partition(",")[0].strip()
        limits = (
            "no network modes bridge and nat: a dockerd started by the suite makes no bridge on the host",
        )
        return self._info(version_text, "started by the suite", limits)

    def unsupported(self, spec: InstanceSpec) -> str | None:
        """Its default bridge masquerades; a dockerd started by the suite has no bridge."""
        if spec.network == "bridge":
            return "Docker's default bridge masquerades, which is the mode nat"
        if spec.network == "nat" and dockerd.system_daemon() is None:
            return "no Docker daemon runs here, and a dockerd started by the suite makes no bridge"
        return None

    def running(self) -> DockerApi | None:
        """Return the host's daemon, None when none answers."""
        return dockerd.system_daemon()

    def make_daemon(self, directory: Path) -> DaemonProcess:
        """Start a dockerd."""
        return OwnDaemon(directory)

    def remove(self, directory: Path) -> None:
        """End what a daemon left that had `directory`, and delete it. Idempotent."""
        dockerd.remove(directory)

    def client(self, api: DockerApi) -> tuple[str, ...]:
        """Return the start of docker's command lines."""
        return (shutil.which("docker") or "docker", "--host", f"unix://{api.path}")

    def instance(self, api: DockerApi, spec: InstanceSpec) -> DaemonInstance:
        """Start one container."""
        return DockerInstance(api, self.client(api), self._image, spec)

    def _info(self, version: str, daemon: str, limits: tuple[str, ...]) -> BackendInfo:
        details = {"daemon": daemon, "start": "API create, attach, start"}
        return BackendInfo(name=self.name, kind="container", version=version, limits=limits, details=details)


class DockerInstance(DaemonInstance):
    """One container."""

    system = "docker"

    def memory(self) -> Footprint:
        """Proportional set size of its processes and of its shim; the daemon is not counted."""
        self._drain()
        members = processes.in_pid_namespace_of(self.pid)
        weighed = processes.pss([*members, processes.parent_of(self.pid)])
        return Footprint(bytes=weighed.bytes, method="pss with shim")

    def network(self, mode: NetworkMode) -> str:
        """Return Docker's name of a network mode."""
        return {"nat": "bridge"}.get(mode, mode)
