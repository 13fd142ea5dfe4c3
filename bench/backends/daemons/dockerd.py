"""Docker's daemon: the one that runs on this host, or one started for the run.

A dockerd started for the run lives in a mount namespace with an empty /run, so its mounts, sockets and state
end with it. It makes no bridge and no firewall rule, since both would change the host; so it has the network
modes none and host only. A sweep finds its processes by their environment, its containers by the parent of
their cgroups: both name the owner.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from functools import partial
from pathlib import Path

from bench.backends.daemons.daemon_process import DaemonProcess
from bench.backends.daemons.docker_api import DockerApi
from bench.backends.programs import processes
from bench.backends.resources import mount_namespace, owned

SYSTEM_SOCKET = Path("/var/run/docker.sock")
_MARK = "NINETYNINE_DOCKERD"
_CGROUP_PREFIX = "nndocker-"
_NAMES = ("dockerd", "docker-proxy", "containerd")


def kept(api: DockerApi) -> Path:
    """Return the directory in which a daemon keeps its images and containers, as the daemon says."""
    return Path(str(api.ask("GET", "/info")["DockerRootDir"]))


def system_daemon() -> DockerApi | None:
    """Return the daemon that already runs on this host, None when there is none."""
    api = DockerApi(SYSTEM_SOCKET)
    return api if SYSTEM_SOCKET.exists() and api.alive() else None


def system_pids() -> list[int]:
    """Return the processes of the host's Docker, by name: the API reports no pids, and containerd may be a
    systemd unit."""
    return [pid for pid in processes.pids() if processes.name_of(pid).startswith(_NAMES)]


class OwnDaemon(DaemonProcess):
    """A dockerd started by this process."""

    def __init__(self, directory: Path) -> None:
        namespace = mount_namespace.make(empty=("/run",))
        (directory / "daemon.json").write_text("{}")
        argv = _argv(shutil.which("dockerd") or "dockerd", directory)
        super().__init__("dockerd", directory, argv, DockerApi(directory / "docker.sock"), _MARK, namespace)

    def pids(self) -> list[int]:
        """Return dockerd, containerd, and the shims of containers."""
        return _pids(self.directory)

    def _remove(self) -> None:
        remove(self.directory)


def _pids(directory: Path) -> list[int]:
    mark = f"{_MARK}={directory.name}".encode()
    return [pid for pid in processes.pids() if processes.has_variable(pid, mark)]


def remove(directory: Path) -> None:
    """Kill the containers and processes of the daemon that used `directory`, and delete it. Idempotent."""
    for group in Path("/sys/fs/cgroup").glob(f"*/{_CGROUP_PREFIX}{directory.name}"):
        processes.kill_all(partial(_below, group), f"containers in {group}")
    processes.kill_all(partial(_pids, directory), "dockerd and its helpers")
    for group in Path("/sys/fs/cgroup").glob(f"*/{_CGROUP_PREFIX}{directory.name}"):
        _remove_groups(group)
    owned.remove(directory)


def _argv(program: str, directory: Path) -> list[str]:
    return [
        program,
        f"--config-file={directory}/daemon.json",
        f"--data-root={directory}/data",
        "--exec-root=/run/docker",  # in the namespace: socket paths are limited to 107 bytes
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
