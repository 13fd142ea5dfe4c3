"""One container: start, exec, wait, kill, stop, stats, remove."""

from __future__ import annotations

import signal
import threading
import time
from typing import TYPE_CHECKING

import msgspec

from runtime.engine.directories import disk_bytes
from runtime.engine.errors import ContainerStateError, EngineError
from runtime.engine.prepare import Prepared
from runtime.engine.reaper import Child
from runtime.spawn.cgroups import Cgroup, Stats
from runtime.spawn.tape import SlotValue, StepError, StepKilledError, pointers, spawn

if TYPE_CHECKING:
    from runtime.engine.engine import Engine


class StartRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Stamps of one start, host CLOCK_MONOTONIC ns. `phases` are (name, duration_ns) in order of time."""

    requested_ns: int
    phases: tuple[tuple[str, int], ...]
    pid: int


class Container:
    """Made by Engine.create(). Several threads may call; remove() frees everything it held."""

    def __init__(self, engine: Engine, id: str, prepared: Prepared) -> None:  # noqa: A002
        self.id = id
        self.config = prepared.config
        self.record: StartRecord | None = None
        self._engine = engine
        self._prepared = prepared
        self._lock = threading.RLock()
        self._group: Cgroup | None = None
        self._child: Child | None = None
        self._removed = False

    # ---- start ----------------------------------------------------------------------------------------

    def start(self, stdin_fd: int = -1, stdout_fd: int = -1, stderr_fd: int = -1) -> StartRecord:
        """Start the program; descriptors of -1 are /dev/null. They stay the caller's.

        Returns when the program's execve has succeeded. Raises EngineError; nothing is then left behind.
        """
        requested = time.monotonic_ns()
        with self._lock:
            if self._child is not None or self._removed:
                raise ContainerStateError(f"start {self.id}: it was started before; create another one")
            try:
                return self._start(requested, (stdin_fd, stdout_fd, stderr_fd))
            except (StepError, StepKilledError) as error:
                self._free()
                raise EngineError(f"start {self.id} ({self.config.argv[0]}): {error}") from error
            except BaseException:
                self._free()
                raise

    def _start(self, requested: int, stdio: tuple[int, int, int]) -> StartRecord:
        engine, prepared = self._engine, self._prepared
        group = self._group = engine.take_cgroup(self.id, self.config)
        grouped = time.monotonic_ns()
        upper, work = engine.directories.make(self.id)
        made = time.monotonic_ns()
        slots = self._slots(upper, work, stdio)
        v2_fd = None
        if group is not None:
            v2_fd = group.v2_fd
            slots.update(zip(engine.join_slots, group.join_fds, strict=True))
        filled = time.monotonic_ns()
        plan = prepared.plan
        pid, pidfd = spawn(plan.tape, slots, plan.flags, v2_fd)
        self._child = Child(pid, pidfd)
        done = time.monotonic_ns()
        if group is not None:
            group.close_fds()
        phases = (
            ("cgroup", grouped - requested),
            ("directories", made - grouped),
            ("slots", filled - made),
            ("spawn", done - filled),
        )
        self.record = StartRecord(requested_ns=requested, phases=phases, pid=pid)
        return self.record

    def _slots(self, upper: str, work: str, stdio: tuple[int, int, int]) -> dict[str, SlotValue]:
        prepared, null = self._prepared, self._engine.null_fd
        hostname = (self.config.hostname or self.id).encode()
        slots: dict[str, SlotValue] = {
            "mountpoint": self._engine.directories.mountpoint.encode(),
            "upper": upper.encode(),
            "work": work.encode(),
            "argv": pointers(prepared.argv),
            "env": pointers(prepared.env),
            "hostname": hostname,
            "hostname_length": len(hostname),
        }
        for number, fd in enumerate(stdio):
            slots[f"fd{number}"] = null if fd < 0 else fd
        for number, layer in enumerate(reversed(prepared.layers)):
            slots[f"lower{number}"] = layer.encode()
        for number, path in enumerate(prepared.paths):
            slots[f"path{number}"] = path.encode()
        return slots

    # ---- while it runs --------------------------------------------------------------------------------

    @property
    def pid(self) -> int:
        """The program's pid on the host, 0 before the start."""
        return self._child.pid if self._child else 0

    def wait(self, timeout_s: float | None = None) -> int | None:
        """Wait for the program's end; return its exit status (128 + signal), None when the time is over."""
        return self._started("wait for").wait(timeout_s)

    def kill(self, number: int = signal.SIGKILL) -> None:
        """Send a signal to the program."""
        self._started("kill").kill(number)

    def stop(self, grace_s: float = 10.0) -> int:
        """SIGTERM, and SIGKILL when it still runs after `grace_s`; return the exit status."""
        child = self._started("stop")
        child.kill(signal.SIGTERM)
        code = child.wait(grace_s)
        if code is None:
            child.kill()
            code = child.wait()
        assert code is not None
        return code

    def stats(self) -> Stats:
        """Return what the container has used so far."""
        return self._grouped("stats of").stats()

    def disk_bytes(self) -> int:
        """Return the bytes of the writable layer on disk, by allocated blocks and inode."""
        return disk_bytes(f"{self._engine.directories.run}/{self.id}/u")

    def _started(self, operation: str) -> Child:
        if self._child is None:
            raise ContainerStateError(f"{operation} {self.id}: it was not started")
        return self._child

    def _grouped(self, operation: str) -> Cgroup:
        if self._group is None:
            raise ContainerStateError(
                f"{operation} {self.id}: it has no cgroup (not started, or cgroup=False)"
            )
        return self._group

    # ---- end ------------------------------------------------------------------------------------------

    def remove(self) -> None:
        """Kill what still runs and free all the container held. Idempotent."""
        with self._lock:
            if not self._removed:
                self._free()

    def _free(self) -> None:
        self._removed = True
        if self._child is not None and self._child.poll() is None:
            self._child.kill()
            self._child.wait()
        if self._group is not None:
            self._group.remove()
        self._engine.directories.remove(self.id)
        self._engine.forget(self)
