"""All that one spawner owns: the engine, the networks, the containers, and where exits are reported."""

from __future__ import annotations

import contextlib
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.engine import process_resources, reaper
from runtime.engine.config import ContainerConfig
from runtime.engine.engine import Engine
from runtime.engine.errors import ConflictError, NotFoundError
from runtime.engine.pending_start import Pending
from runtime.engine.spawner.loop import Loop
from runtime.engine.spawner.protocol import MAIN, Exited
from runtime.engine.spawner.running import Program, RunningContainer

if TYPE_CHECKING:
    from runtime.network.bridge_networks import BridgeNetworks

_MOST_SHAPES = 8
_SETTLE_S = 0.2
"""How long changes of the host's network are left to settle: most come in bursts, and some are our own."""
_LOOK_S = 0.01
_MOST_LOOKS = 256
"""How many children and traced threads are looked at before others have their turn."""


class SpawnerState:
    """Made once; close() frees everything. on_exit: called for each program that ends."""

    def __init__(self, root: Path, loop: Loop, on_exit: Callable[[Exited], None]) -> None:
        self.loop = loop
        self.containers: dict[str, RunningContainer] = {}
        self.starting: dict[tuple[str, str], Pending[Any]] = {}
        self.engine = Engine(root, on_spare=self.want, targets=True)
        self._on_exit = on_exit
        self._networks: BridgeNetworks | None = None
        self._wanted: dict[tuple[str, ...], ContainerConfig] = {}
        self._looking = False
        loop.spare = self._use_spare_time

    @property
    def has_networks(self) -> bool:
        """Whether a named network was ever asked for."""
        return self._networks is not None

    @property
    def networks(self) -> BridgeNetworks:
        """The named networks, made at first need."""
        if self._networks is None:
            self._networks = process_resources.networks().bridge_networks
            self._follow_host(self._networks)
        return self._networks

    def _follow_host(self, networks: BridgeNetworks) -> None:
        """Let networks follow changes of the host, some time after the first of a burst."""

        def heard() -> None:
            for fd in networks.watched:
                self.loop.forget(fd)
            self.loop.later(_SETTLE_S, look)

        def look() -> None:
            if self._networks is not networks:
                return
            try:
                networks.follow_host()
            except Exception:
                log_failure("follow the host's network")  # the next change may do
            listen()

        def listen() -> None:
            for fd in networks.watched:
                self.loop.watch(fd, heard)

        listen()

    # ---- finding --------------------------------------------------------------------------------------

    def find(self, container_id: str) -> RunningContainer:
        """Return the state of a container. Raises NotFoundError."""
        if container_id not in self.containers:
            raise NotFoundError(f"No such container: {container_id}")
        return self.containers[container_id]

    def find_program(self, container_id: str, exec_id: str) -> tuple[RunningContainer, Program]:
        """Return a container and one program of it. Raises NotFoundError."""
        running = self.find(container_id)
        if exec_id == MAIN:
            return running, running.main
        if exec_id not in running.execs:
            raise NotFoundError(f"No such exec instance: {exec_id}")
        return running, running.execs[exec_id]

    def find_running(self, container_id: str) -> RunningContainer:
        """Return a container whose program has not ended. Raises NotFoundError, ConflictError."""
        running = self.find(container_id)
        if running.main.exited is not None:
            raise ConflictError(f"container {container_id} is not running")
        return running

    # ---- ends -----------------------------------------------------------------------------------------

    def watch(self, running: RunningContainer, program: Program) -> None:
        """Reap a program when it ends, and report its exit."""
        program.watched = program.child.pidfd
        self.loop.watch(program.watched, lambda: self._ended(running, program))

    def _ended(self, running: RunningContainer, program: Program) -> None:
        # Once: a tracer that is another process may keep it, and then SIGCHLD says when it can be reaped.
        self.loop.forget(program.watched)
        self.notice(running, program)

    def notice(self, running: RunningContainer, program: Program) -> None:
        """Check whether a program has ended: its pidfd is readable, or another call may have reaped it."""
        if program.exited is not None:
            return
        code = program.child.poll()
        if code is None:
            return
        self.loop.forget(program.watched)
        exited = running.end_of(program, code)
        group = running.container.group
        if program is running.main and running.container.dies_alone and group is not None:
            group.kill_now()
        self._on_exit(exited)

    def look_soon(self) -> None:
        """After SIGCHLD: look for children without a pidfd, once the exits that pidfds report are handled."""
        if not self._looking:
            self._looking = True
            self.loop.later(_LOOK_S, self._look)

    def _look(self) -> None:
        """Detach from threads that had themselves traced, and reap dead ones and adopted children.

        These are what a joined program has made with CLONE_PARENT. Either keeps a container from ending.
        """
        self._looking = False
        for _ in range(_MOST_LOOKS):
            pid = reaper.peek()
            if pid is None:
                return
            if any(pid == pending.pid for pending in self.starting.values()):
                break  # its `done` descriptor reports it in a moment
            running, program = self._whose(pid)
            if running is not None and program is not None:
                self.notice(running, program)
            else:
                reaper.settle(pid)
        self.look_soon()

    def _whose(self, pid: int) -> tuple[RunningContainer, Program] | tuple[None, None]:
        for running in self.containers.values():
            for program in running.programs():
                if program.pid == pid and program.exited is None:
                    return running, program
        return None, None

    # ---- pools ----------------------------------------------------------------------------------------

    def want(self, config: ContainerConfig, layers: tuple[str, ...]) -> None:
        """Fill the pools for containers like this one when the loop is idle."""
        self._wanted.pop(layers, None)
        self._wanted[layers] = config
        while len(self._wanted) > _MOST_SHAPES:
            self._wanted.pop(next(iter(self._wanted)))
        self.loop.rest()

    def _use_spare_time(self) -> bool:
        if self._wanted:
            layers, config = next(iter(self._wanted.items()))
            full = True
            try:
                full = self.engine.refill_one(config, layers)
            except Exception:
                log_failure("fill the pools")  # the next start reports it to a client
            if full:
                del self._wanted[layers]
        return bool(self._wanted)

    # ---- the end --------------------------------------------------------------------------------------

    def close(self, patience_s: float) -> None:
        """Free all containers, pools and networks.

        What still runs is killed and waited for until `patience_s`.

        Raises EngineError, CgroupError, NetworkError; the rest is freed all the same.
        """
        with contextlib.ExitStack() as stack:
            stack.callback(self.engine.close, patience_s)  # with the networks
            for running in self.containers.values():
                for program in running.programs():
                    program.streams.close()
                if self._networks is not None:
                    stack.callback(self._networks.release, running.id)
            self._networks = None


def log_failure(operation: str) -> None:
    """Write the exception that is being handled to the log."""
    print(f"{operation}:", file=sys.stderr)
    traceback.print_exc()
    sys.stderr.flush()
