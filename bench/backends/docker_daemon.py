"""A Docker daemon: the one that runs on this host, or one of our own that leaves the host's network alone.

Our own runs in a mount namespace with an empty /run, so its mounts, sockets and state end with it. It makes
no bridge and no firewall rule (either would change the host), hence it has the network modes none and host
only. Its processes carry its owner in their environment, its containers in their cgroups' parent: that is
how a sweep finds them.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import time
from functools import partial
from pathlib import Path
from typing import Protocol

from bench.backends import launch, mount_namespace, owned, processes
from bench.backends.base import BackendError
from bench.backends.docker_api import DockerApi
from bench.backends.environment import SEARCH_PATH
from bench.backends.streams import above_stdio, close_all
from runtime.spawn.tape import pointers

SYSTEM_SOCKET = Path("/var/run/docker.sock")
START_TIMEOUT_S = 30.0
_MARK = "NINETYNINE_DOCKERD"
_CGROUP_PREFIX = "nndocker-"


class Daemon(Protocol):
    """A daemon of this process. kept: where all it keeps is."""

    api: DockerApi
    kept: Path

    def close(self) -> None:
        """End it and free all it held."""


def kept(api: DockerApi) -> Path:
    """Where a daemon says that it keeps what it has."""
    return Path(str(api.ask("GET", "/info")["DockerRootDir"]))


def system_daemon() -> DockerApi | None:
    """Return the daemon that already runs on this host, None when there is none."""
    api = DockerApi(SYSTEM_SOCKET)
    return api if SYSTEM_SOCKET.exists() and api.alive() else None


class OwnDaemon:
    """A dockerd of this process. Its files lie in `directory`, which is named after the owner."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.kept = directory / "data"
        self.api = DockerApi(directory / "docker.sock")
        self._namespace = mount_namespace.make(empty=("/run",))
        log = above_stdio(os.open(directory / "dockerd.log", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        null = above_stdio(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
        (directory / "daemon.json").write_text("{}")
        program = shutil.which("dockerd") or "dockerd"
        try:
            self._process = launch.start(
                program,
                _argv(program, directory),
                pointers([f"PATH={':'.join(SEARCH_PATH)}", f"HOME={directory}", f"{_MARK}={directory.name}"]),
                (null, log, log),
                cpus=launch.cpu_mask(()),
                mount_namespace=self._namespace,
            )
        finally:
            close_all(log, null)
        self._wait()

    def close(self) -> None:
        """End the daemon and free all it held."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process.pidfd, signal.SIGTERM)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._process.ended() and time.monotonic() < deadline:
            time.sleep(0.01)
        self._process.kill()
        self._process.wait()
        close_all(self._namespace)
        remove(self.directory)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.api.alive():
            if self._process.ended() or time.monotonic() > deadline:
                log = (self.directory / "dockerd.log").read_text(errors="replace").strip().splitlines()
                self.close()
                raise BackendError(
                    f"start dockerd: it does not answer; its last words: {' / '.join(log[-2:])}"
                )
            time.sleep(0.02)


def remove(directory: Path) -> None:
    """Kill the containers and processes of the daemon that had `directory`, and delete it. Idempotent."""
    for group in Path("/sys/fs/cgroup").glob(f"*/{_CGROUP_PREFIX}{directory.name}"):
        processes.kill_all(partial(_below, group), f"containers in {group}")
    mark = f"{_MARK}={directory.name}".encode()
    processes.kill_all(
        lambda: [pid for pid in processes.pids() if processes.has_variable(pid, mark)],
        "dockerd and its helpers",
    )
    for group in Path("/sys/fs/cgroup").glob(f"*/{_CGROUP_PREFIX}{directory.name}"):
        _remove_groups(group)
    owned.remove(directory)


def _argv(program: str, directory: Path) -> list[str]:
    return [
        program,
        f"--config-file={directory}/daemon.json",
        f"--data-root={directory}/data",
        "--exec-root=/run/docker",  # in the namespace: socket paths hold 107 bytes
        "--pidfile=/run/dockerd.pid",
        f"--host=unix://{directory}/docker.sock",
        f"--cgroup-parent=/{_CGROUP_PREFIX}{directory.name}",
        "--bridge=none",
        "--iptables=false",
        "--ip6tables=false",
        "--ip-forward=false",
        "--ip-masq=false",
        "--userland-proxy=false",
        "--log-level=error",
    ]


def _below(group: Path) -> list[int]:
    found: list[int] = []
    for where, _, files in os.walk(group):
        if "cgroup.procs" in files:
            with contextlib.suppress(OSError):
                found += map(int, Path(where, "cgroup.procs").read_text().split())
    return found


def _remove_groups(group: Path) -> None:
    for where, _, _ in os.walk(group, topdown=False):
        with contextlib.suppress(OSError):
            Path(where).rmdir()
