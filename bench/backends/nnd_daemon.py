"""A daemon of this project for one run: its processes carry their owner, all it keeps is one directory."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from pathlib import Path

from bench.backends import launch, owned, processes
from bench.backends.base import BackendError
from bench.backends.docker_api import DockerApi
from bench.backends.environment import SEARCH_PATH
from bench.backends.streams import above_stdio, close_all
from runtime.spawn.tape import pointers

START_TIMEOUT_S = 30.0
_MARK = "NINETYNINE_NND"


class NndDaemon:
    """A daemon of this process. Its files lie in `directory`, which is named after the owner."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.kept = directory / "data"
        self.api = DockerApi(directory / "nnd.sock")
        log = above_stdio(os.open(directory / "nnd.log", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        null = above_stdio(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
        argv = [
            *(sys.executable, "-m", "runtime.api.nnd"),
            *("--root", str(self.kept), "--host", f"unix://{self.api.path}"),
        ]
        env = [f"PATH={':'.join(SEARCH_PATH)}", f"HOME={directory}", f"{_MARK}={directory.name}"]
        try:
            self._process = launch.start(
                sys.executable, argv, pointers(env), (null, log, log), cpus=launch.cpu_mask(())
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
        remove(self.directory)

    def _wait(self) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.api.alive():
            if self._process.ended() or time.monotonic() > deadline:
                log = (self.directory / "nnd.log").read_text(errors="replace").strip().splitlines()
                self.close()
                raise BackendError(f"start nnd: it does not answer; its last words: {' / '.join(log[-2:])}")
            time.sleep(0.01)


def remove(directory: Path) -> None:
    """End daemon and spawner that had `directory`, free what their containers held, delete it. Idempotent."""
    mark = f"{_MARK}={directory.name}".encode()
    processes.kill_all(
        lambda: [pid for pid in processes.pids() if processes.has_variable(pid, mark)], "nnd and its spawner"
    )
    # An engine frees what dead ones held below its root when it is made.
    if (directory / "data").exists():
        sweep(directory / "data")
    owned.remove(directory)


def sweep(root: Path) -> None:
    """Free mounts, cgroups and links that a killed spawner of `root` left."""
    from runtime.engine import Engine, EngineError

    try:
        engine = Engine(root / "engine")
        engine.sweep()
        engine.close()
    except (EngineError, OSError) as error:
        raise BackendError(f"free what nnd left below {root}: {error}") from error
