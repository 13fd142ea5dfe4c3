"""A container of this process: start it, run programs in it, remove it; see RunningProgram for the rest."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from runtime.engine import launch
from runtime.engine.errors import ContainerStateError, EngineError
from runtime.engine.exec_process import ExecOptions, Target, begin_join, hide_memory, join
from runtime.engine.pending_start import Pending
from runtime.engine.prepare import Prepared, plan_start
from runtime.engine.reaper import Child, Process
from runtime.engine.running import RunningProgram
from runtime.engine.start_errors import errors_named, gc_paused
from runtime.oci.plan import Plan
from runtime.oci.spec import NamespaceType
from runtime.spawn import namespaces, terminal
from runtime.spawn.idmaps import let_go, mapping_pipe
from runtime.spawn.tape import Paused, SlotValue, Spawned, spawn

if TYPE_CHECKING:
    from runtime.engine.resources import EngineResources
    from runtime.image.layers.store_files import Lease

Stdio = tuple[int, int, int]
_PHASES = ("cgroup", "network", "root", "slots", "spawn")
_NOTHING: Mapping[NamespaceType, RunningProgram] = {}
_PATIENCE_S, _AGAIN_S = 10.0, 0.25


class StartRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Stamps of one start, host CLOCK_MONOTONIC ns. `phases` are (name, duration_ns) in order of time."""

    requested_ns: int
    phases: tuple[tuple[str, int], ...]
    pid: int


class _Ready(NamedTuple):
    """All that a start needs before its clone. stamps: the ends of the phases so far."""

    plan: Plan
    slots: dict[str, SlotValue]
    v2_fd: int | None
    stamps: tuple[int, ...]


class Container(RunningProgram):
    """Made by Engine.create(). Several threads may call; remove() frees everything it holds."""

    def __init__(
        self,
        resources: EngineResources,
        on_removed: Callable[[Container], None],
        container_id: str,
        prepared: Prepared,
        lease: Lease | None,
        joined: Mapping[NamespaceType, RunningProgram] = _NOTHING,
    ) -> None:
        super().__init__(container_id, prepared, joined)
        self.record: StartRecord | None = None
        self._resources, self._on_removed = resources, on_removed
        self._prepared = prepared
        self._lock = threading.RLock()
        self._lease = lease
        self._begun: Pending[StartRecord] | None = None

    # ---- start ----------------------------------------------------------------------------------------

    def attach(self, address: str = "") -> int | None:
        """Take its network namespace before the start, to add links to it; None if it joins another's.

        address: which it will be given on the network of its config. Returns the descriptor, which stays the
        container's. Raises NetworkError.
        """
        with self._lock:
            if self._attachment is None:
                self._attachment = self._resources.attach(self.config, tuple(self._shared), address)
            return self._attachment.netns_fd if self._attachment else None

    def start(
        self,
        stdin_fd: int = -1,
        stdout_fd: int = -1,
        stderr_fd: int = -1,
        *,
        size: tuple[int, int] | None = None,
    ) -> StartRecord:
        """Start the program; descriptors of -1 are /dev/null. They stay the caller's.

        With tty they are not used, tty_fd is; size: its rows and columns. Returns when the program's execve
        has succeeded. Raises EngineError, or StartFailedError when that execve fails; nothing is left behind
        then.
        """
        requested = time.monotonic_ns()
        with self._starting() as fds:
            ready = self._ready((stdin_fd, stdout_fd, stderr_fd), size, fds)
            return self._settle(requested, ready, self._spawn(ready))

    def begin(
        self,
        stdin_fd: int = -1,
        stdout_fd: int = -1,
        stderr_fd: int = -1,
        *,
        size: tuple[int, int] | None = None,
    ) -> Pending[StartRecord]:
        """Like start(), but do not wait for the execve: the result's finish() does, and raises its errors."""
        requested = time.monotonic_ns()
        with self._starting() as fds:
            ready = self._ready((stdin_fd, stdout_fd, stderr_fd), size, fds)
            paused = self._pause(ready)
            if self._group is not None:
                self._group.close_fds()

        def settle(finish: Callable[[], Spawned]) -> StartRecord:
            self._begun = None
            with self._starting():
                return self._settle(requested, ready, finish())

        self._begun = Pending(paused, settle)
        return self._begun

    @contextlib.contextmanager
    def _starting(self) -> Iterator[launch.OpenFds]:
        """Hold descriptors for a start, name its errors, and free everything after one."""
        with self._lock:
            if self._child is not None or self._removed or self._begun is not None:
                raise ContainerStateError(f"start {self.id}: it was started before; create another one")
            fds = launch.OpenFds()
            try:
                argv0 = self.config.argv[0]
                with errors_named(f"start {self.id} ({argv0})", argv0), gc_paused():
                    yield fds
            except BaseException:
                fds.close()
                self._free()
                raise
            finally:
                fds.close()

    def _ready(self, stdio: Stdio, size: tuple[int, int] | None, fds: launch.OpenFds) -> _Ready:
        resources = self._resources
        group = self._group = resources.take_cgroup(self.id, self.config)
        grouped = time.monotonic_ns()
        self.attach()
        attached = time.monotonic_ns()
        root = resources.take_root(self._prepared)
        fds.keep(root.fd)
        self._home = root.home
        made = time.monotonic_ns()
        plan, slots = self._plan(stdio, size, fds)
        slots["root"] = root.fd
        if self._attachment is not None and self._attachment.netns_fd is not None:
            slots["ns_network"] = self._attachment.netns_fd
        for name, other in self._shared.items():
            if name != "pid":
                slots[f"ns_{name}"] = other.pidfd
        v2_fd = None
        if group is not None:
            v2_fd = group.v2_fd
            slots.update(zip(resources.join_slots, group.join_fds, strict=True))
            slots.update(launch.cgroup_slots(group, self.config, plan.tape.slots, fds))
        return _Ready(plan, slots, v2_fd, (grouped, attached, made, time.monotonic_ns()))

    def _settle(self, requested: int, ready: _Ready, spawned: Spawned) -> StartRecord:
        done = time.monotonic_ns()
        self._child = Child(*spawned)
        if self._group is None:
            self._resources.directories.note_pid(self._home, spawned.pid)
        else:
            self._group.close_fds()
        stamps = (requested, *ready.stamps, done)
        phases = tuple((name, stamps[n + 1] - stamps[n]) for n, name in enumerate(_PHASES))
        self.record = StartRecord(requested_ns=requested, phases=phases, pid=spawned.pid)
        return self.record

    def _spawn(self, ready: _Ready) -> Spawned:
        if self._prepared.maps is not None:
            return self._pause(ready).finish()
        with self._birthplace():
            return spawn(ready.plan.tape, ready.slots, ready.plan.flags, ready.v2_fd)

    def _pause(self, ready: _Ready) -> Paused:
        tape, slots, flags = ready.plan.tape, ready.slots, ready.plan.flags
        maps = self._prepared.maps
        if maps is None:
            with self._birthplace():
                return Paused(tape, slots, flags, ready.v2_fd)
        with mapping_pipe() as (read, write):
            slots["mapped"] = read
            paused = Paused(tape, slots, flags, ready.v2_fd)
            let_go(paused, maps, write)
            return paused

    def _birthplace(self) -> contextlib.AbstractContextManager[None]:
        """Fork into another container's pid namespace, when that is shared."""
        if "pid" not in self._shared:
            return contextlib.nullcontext()
        hide_memory()
        own = self._resources.own_pid_namespace_fd
        return namespaces.children_in_pid_namespace(self._shared["pid"].pidfd, own)

    def _plan(
        self, stdio: Stdio, size: tuple[int, int] | None, fds: launch.OpenFds
    ) -> tuple[Plan, dict[str, SlotValue]]:
        resources, prepared, config = self._resources, self._prepared, self.config
        argv = ("init", *config.argv) if config.init else config.argv
        slots = launch.program_slots(argv, prepared.env, prepared.paths)
        if config.tty:
            slots["devpts"] = devpts = fds.keep(terminal.make_devpts())
            self.tty_fd, peer = terminal.open_terminal(devpts)
            if size is not None:
                terminal.resize(self.tty_fd, *size)
            stdio = (fds.keep(peer),) * 3
        nulls = launch.nulls_of(stdio)
        plan = plan_start(prepared, nulls)
        slots.update(launch.stdio_slots(stdio, nulls, fds))
        if "anchor" in plan.tape.slots:
            slots["anchor"] = resources.anchor_fd
        if "mountpoint" in plan.tape.slots:
            slots["mountpoint"] = resources.directories.mountpoint.encode()
        if prepared.binds:
            slots.update(launch.mount_slots(prepared, fds))
        if "hostname" in plan.tape.slots:
            slots["hostname"] = hostname = (config.hostname or self.id).encode()
            slots["hostname_length"] = len(hostname)
        if prepared.maps is not None:
            slots.update(launch.device_slots(prepared, fds))
        if config.init:
            slots["init"] = resources.init_fd()
        return plan, slots

    # ---- beside it ------------------------------------------------------------------------------------

    def exec(
        self,
        argv: Sequence[str],
        stdin_fd: int = -1,
        stdout_fd: int = -1,
        stderr_fd: int = -1,
        *,
        env: Sequence[str] | None = None,
        cwd: str | None = None,
        user: str | None = None,
        caps: tuple[str, ...] | None = None,
        tty: bool = False,
        size: tuple[int, int] | None = None,
    ) -> Process:
        """Run a program with the container's namespaces, cgroup, capabilities and seccomp filter.

        It gets the three descriptors and no other. Options default to the container's; size is that of its
        terminal, in rows and columns. Raises EngineError.
        """
        options = ExecOptions(
            env=None if env is None else tuple(env), cwd=cwd, user=user, caps=caps, tty=tty, size=size
        )
        with self._joining(argv):
            stdio = (stdin_fd, stdout_fd, stderr_fd)
            return self._keep(join(self._target(), tuple(argv), stdio, options))

    def begin_exec(self, argv: Sequence[str], stdio: Sequence[int], options: ExecOptions) -> Pending[Process]:
        """Like exec(), but do not wait for the execve: the result's finish() does, and raises its errors."""
        with self._joining(argv):
            paused, made = begin_join(self._target(), tuple(argv), stdio, options)

        def settle(finish: Callable[[], Spawned]) -> Process:
            with self._joining(argv):
                return self._keep(made(finish))

        return Pending(paused, settle)

    def _target(self) -> Target:
        child = self._started("exec in")
        return Target(resources=self._resources, prepared=self._prepared, child=child, group=self._group)

    @contextlib.contextmanager
    def _joining(self, argv: Sequence[str]) -> Iterator[None]:
        with self._lock, errors_named(f"exec {argv[0]} in {self.id}", argv[0]):
            yield

    def _keep(self, process: Process) -> Process:
        self._joined = [p for p in self._joined if p.exit_code is None]
        self._joined.append(process)
        return process

    # ---- end ------------------------------------------------------------------------------------------

    def remove(self, patience_s: float = _PATIENCE_S) -> None:
        """Kill what still runs and free all that the container holds. Idempotent.

        Raises EngineError when that has not ended after `patience_s`: it is stuck in the kernel. Its cgroup
        is then left to a later sweep; all else is freed.
        """
        with self._lock:
            if not self._removed:
                self._free(patience_s)

    def _free(self, patience_s: float = _PATIENCE_S) -> None:
        self._removed = True
        with contextlib.ExitStack() as stack:
            stack.callback(self._on_removed, self)
            if self._home and self._home != self.config.home:
                stack.callback(self._resources.directories.remove, self._home)
            if self._attachment is not None:
                stack.callback(self._resources.detach, self._attachment)
            if self._lease is not None:
                stack.callback(self._lease.close)
            stack.callback(self._free_processes, patience_s)

    def _free_processes(self, patience_s: float) -> None:
        """Kill the program, and with it its pid namespace, or else all in its cgroup."""
        ended = self._end_processes(patience_s)
        if self.tty_fd >= 0:
            os.close(self.tty_fd)
            self.tty_fd = -1
        if not ended:
            raise EngineError(f"remove {self.id}: its processes are stuck in the kernel: see /proc/PID/stack")
        if self._group is not None:
            # Without a child: interrupted (Ctrl-C) between its start and self._child.
            if self._child is None or self.dies_alone:
                self._group.kill()
            self._group.remove()

    def _end_processes(self, patience_s: float) -> bool:
        """Kill all that this process has started for it, and wait; say whether all of it has ended."""
        deadline = time.monotonic() + patience_s
        begun, self._begun = self._begun, None
        ended = begun is None or begun.abandon(patience_s)
        # pid 1 last: it is not over before all of its namespace are reaped, and the others are our own.
        children: list[Child] = [*self._joined, *([self._child] if self._child is not None else [])]
        for child in children:
            child.kill()
        for child in children:
            while child.wait(max(0.0, min(_AGAIN_S, deadline - time.monotonic()))) is None:
                if time.monotonic() >= deadline:
                    ended = False
                    break
                self._kill_again()
        return ended

    def _kill_again(self) -> None:
        """Kill what blocks the exit of pid 1: a tracer inside the container."""
        if self._group is not None:
            self._group.kill_now()
        for process in self._joined:
            process.kill()
