"""The program of a started container: look at it, signal it, wait for it, freeze it."""

from __future__ import annotations

import signal
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.engine.directories import disk_bytes
from runtime.engine.errors import ContainerStateError
from runtime.engine.reaper import Child, Process, wait_for
from runtime.oci.spec import NamespaceType
from runtime.spawn import terminal
from runtime.spawn.cgroups import Cgroup, Stats

if TYPE_CHECKING:
    from runtime.engine.prepare import Prepared
    from runtime.network.model import NetworkAttachment


class RunningProgram:
    """A container while it runs. Container has its start and end.

    tty_fd: the host's end of its terminal once started with tty, else -1; closed by remove().
    """

    def __init__(
        self, container_id: str, prepared: Prepared, joined: Mapping[NamespaceType, RunningProgram]
    ) -> None:
        self.id = container_id
        self.config = prepared.config
        self.layers = prepared.layers
        self.tty_fd = -1
        self._shared = joined
        self._group: Cgroup | None = None
        self._attachment: NetworkAttachment | None = None
        self._child: Child | None = None
        self._joined: list[Process] = []
        self._home = ""
        self._removed = False

    @property
    def pid(self) -> int:
        """The program's pid on the host, 0 before the start."""
        return self._child.pid if self._child else 0

    @property
    def pidfd(self) -> int:
        """The program's pidfd, readable once it has ended; -1 before the start, and once it is reaped."""
        return self._child.pidfd if self._child else -1

    @property
    def group(self) -> Cgroup | None:
        """Its cgroup while it has one, to be read and killed."""
        return self._group

    def poll(self) -> int | None:
        """Return the exit status without waiting, None while it runs."""
        return self._started("poll").poll()

    @property
    def dies_alone(self) -> bool:
        """Say whether other processes may outlive the program, as it has no pid namespace of its own."""
        return "pid" not in self.config.namespaces or "pid" in self._shared

    @property
    def address(self) -> str | None:
        """Its IPv4 address for the host, None without its own network."""
        return self._attachment.address if self._attachment else None

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the program's end; return its exit status (128 + signal), None on timeout."""
        return wait_for(self._started("wait for"), self._joined, timeout_s)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the program."""
        self._started("kill").kill(number)

    def stop(self, grace_s: float = 10.0) -> int:
        """SIGTERM, and SIGKILL when it still runs after `grace_s`; return the exit status."""
        child = self._started("stop")
        child.kill(signal.SIGTERM)
        code = wait_for(child, self._joined, grace_s)
        if code is None:
            child.kill()
            code = wait_for(child, self._joined, None)
        assert code is not None
        return code

    def pause(self) -> None:
        """Freeze all its processes."""
        self._grouped("pause").freeze()

    def resume(self) -> None:
        """Unfreeze them."""
        self._grouped("resume").thaw()

    def stats(self) -> Stats:
        """Return what the container has used so far. Raises ContainerStateError without a cgroup."""
        return self._grouped("read stats of").stats()

    def memory(self) -> int:
        """Return the memory of its processes in bytes: the sum of their proportional set sizes."""
        group = self._group
        pids = group.procs() if group is not None else (self.pid,)
        return _pss_bytes(pids)

    def disk_bytes(self) -> int:
        """Return the bytes of the writable layer on disk, by allocated blocks and inode."""
        return disk_bytes(f"{self._home}/u") if self._home else 0

    def resize(self, rows: int, columns: int) -> None:
        """Set the size of its terminal."""
        if self.tty_fd < 0:
            raise ContainerStateError(f"resize {self.id}: it has no terminal; create it with tty=True")
        terminal.resize(self.tty_fd, rows, columns)

    def _started(self, operation: str) -> Child:
        if self._child is None or self._removed:
            raise ContainerStateError(f"{operation} {self.id}: it is not started, or was removed")
        return self._child

    def _grouped(self, operation: str) -> Cgroup:
        if self._group is None or self._removed:
            raise ContainerStateError(
                f"{operation} {self.id}: no cgroup (not started, removed, or cgroup=False)"
            )
        return self._group


def _pss_bytes(pids: Iterable[int]) -> int:
    """Return the sum of the proportional set sizes: pages shared by n processes count 1/n in each.

    Processes that end meanwhile count nothing. Source: /proc/PID/smaps_rollup.
    """
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total
