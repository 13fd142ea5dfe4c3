"""An nnd for one run: its processes carry their owner, everything it keeps is in one directory."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

from bench.backends.base import BackendError
from bench.backends.daemons.daemon_process import DaemonProcess
from bench.backends.daemons.docker_api import DockerApi
from bench.backends.programs import processes
from bench.backends.resources import owned

_MARK = "NINETYNINE_NND"


class NndDaemon(DaemonProcess):
    """An nnd started by this process."""

    def __init__(self, directory: Path) -> None:
        api = DockerApi(directory / "nnd.sock")
        argv = [
            *(sys.executable, "-m", "runtime.api.nnd"),
            *("--root", str(directory / "data"), "--host", f"unix://{api.path}"),
        ]
        super().__init__("nnd", directory, argv, api, _MARK)

    def pids(self) -> list[int]:
        """Return the daemon and its spawner."""
        return _pids(self.directory)

    def _remove(self) -> None:
        remove(self.directory)


def _pids(directory: Path) -> list[int]:
    """Return the daemon, found by its environment, and the spawner, which has another one and is found by its
    argument."""
    mark, root = f"{_MARK}={directory.name}".encode(), os.fsencode(directory / "data")
    return [
        pid
        for pid in processes.pids()
        if processes.has_variable(pid, mark) or processes.has_argument(pid, root)
    ]


def remove(directory: Path) -> None:
    """End the daemon and spawner that used `directory`, free what their containers held, and delete it.
    Idempotent."""
    processes.kill_all(partial(_pids, directory), "nnd and its spawner")
    if (directory / "data").exists():
        sweep(directory / "data")
    owned.remove(directory)


def sweep(root: Path) -> None:
    """Free mounts, cgroups, links, rules and settings that a killed spawner of `root` left."""
    from runtime.engine import Engine, EngineError

    try:
        engine = Engine(root / "engine")
        engine.sweep()
        engine.close()
    except (EngineError, OSError) as error:
        raise BackendError(f"free what nnd left below {root}: {error}") from error
