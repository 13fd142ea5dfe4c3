"""A daemon that the run starts itself: its process, its log, its first answer, its end."""

from __future__ import annotations

import abc
import contextlib
import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path

from bench.backends.base import BackendError
from bench.backends.daemons.docker_api import DockerApi
from bench.backends.programs import launch
from bench.backends.programs.environment import SEARCH_PATH
from bench.backends.programs.streams import above_stdio, close_all
from runtime.spawn.tape import pointers

START_TIMEOUT_S = 30.0
_EVERY_S = 0.01


class DaemonProcess(abc.ABC):
    """A daemon started by this process. Its files are in `directory`, which is named after the owner.

    kept: the directory of its images and containers. mark: the environment variable that names the owner of
    its processes.
    """

    def __init__(
        self, name: str, directory: Path, argv: Sequence[str], api: DockerApi, mark: str, namespace: int = -1
    ) -> None:
        self.directory = directory
        self.kept = directory / "data"
        self.api = api
        self._name = name
        self._namespace = namespace
        self._log = directory / f"{self._name}.log"
        log = above_stdio(os.open(self._log, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
        null = above_stdio(os.open("/dev/null", os.O_RDONLY | os.O_CLOEXEC))
        try:
            self._process = launch.start(
                argv[0],
                argv,
                pointers([f"PATH={':'.join(SEARCH_PATH)}", f"HOME={directory}", f"{mark}={directory.name}"]),
                (null, log, log),
                cpus=launch.cpu_mask(()),
                mount_namespace=namespace,
            )
        finally:
            close_all(log, null)
        try:
            self._wait_for_answer()
        except BackendError:
            self.close()
            raise

    @abc.abstractmethod
    def pids(self) -> list[int]:
        """Return the processes of the daemon and its helpers, without those in containers."""

    @abc.abstractmethod
    def _remove(self) -> None:
        """End what is left of it, and delete its directory."""

    def close(self) -> None:
        """End the daemon and free everything it held."""
        self._end()
        close_all(self._namespace)
        self._remove()

    def _wait_for_answer(self) -> None:
        """Wait until it answers. Raises BackendError, with the end of its log, if it does not."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self.api.alive():
            if self._process.ended() or time.monotonic() > deadline:
                words = " / ".join(self._log.read_text(errors="replace").strip().splitlines()[-2:])
                raise BackendError(f"start {self._name}: it does not answer; its last words: {words}")
            time.sleep(_EVERY_S)

    def _end(self) -> None:
        """Send SIGTERM, and SIGKILL if the daemon does not end in START_TIMEOUT_S."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._process.pidfd, signal.SIGTERM)
        deadline = time.monotonic() + START_TIMEOUT_S
        while not self._process.ended() and time.monotonic() < deadline:
            time.sleep(_EVERY_S)
        self._process.kill()
        self._process.wait()
