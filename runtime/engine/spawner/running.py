"""The spawner's state of each container and exec."""

from __future__ import annotations

import contextlib
import os
import time

from runtime.engine.container import Container
from runtime.engine.reaper import Process
from runtime.engine.spawner.protocol import MAIN, Exited, Running
from runtime.engine.spawner.stdio import KeptStdio
from runtime.network.model import Port


class Program:
    """A container's own program, or one that joined it. exited: set once it was reaped."""

    def __init__(self, exec_id: str, child: Container | Process, streams: KeptStdio) -> None:
        self.exec_id = exec_id
        self.child = child
        self.streams = streams
        self.pid = child.pid
        self.stdin = streams.stdin
        self.watched = -1
        self.exited: Exited | None = None


class RunningContainer:
    """A container and its programs, from its start to its release."""

    def __init__(self, container: Container, main: Program, ports: tuple[Port, ...]) -> None:
        self.id = container.id
        self.container = container
        self.main = main
        self.execs: dict[str, Program] = {}
        self.ports = ports
        self.paused = False
        self._mounts_fd = -1

    def pin_mounts(self, own: str) -> None:
        """Let the mounts outlast the program, whose exit then need not unmount them, which takes 1 ms.

        Not where a path of the host outside `own` is mounted: the user may want to unmount that next.
        """
        binds = [
            mount
            for mount in self.container.config.mounts
            if mount.type == "bind" or "rbind" in mount.options
        ]
        if all(mount.source.startswith(f"{own}/") for mount in binds):
            with contextlib.suppress(OSError):  # it has ended
                self._mounts_fd = os.open(f"/proc/{self.container.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)

    def give_mounts(self) -> list[int]:
        """Return the descriptor that pins the mounts, if there is one; closing it unmounts them."""
        fd, self._mounts_fd = self._mounts_fd, -1
        return [fd] if fd >= 0 else []

    def programs(self) -> tuple[Program, ...]:
        """Its own program first."""
        return (self.main, *self.execs.values())

    def end_of(self, program: Program, code: int) -> Exited:
        """Note that a program has ended."""
        program.exited = Exited(
            id=self.id,
            exec_id=program.exec_id,
            code=code,
            oom_killed=program is self.main and self._oom_kills() > 0,
            finished_ns=time.time_ns(),
        )
        return program.exited

    def _oom_kills(self) -> int:
        group = self.container.group
        return (group.oom_kills() or 0) if group is not None else 0

    def report(self) -> list[Running]:
        """Return its programs as a daemon that has just connected gets them."""
        return [self._report(program) for program in self.programs()]

    def _report(self, program: Program) -> Running:
        main = program.exec_id == MAIN
        return Running(
            id=self.id,
            exec_id=program.exec_id,
            pid=program.pid,
            tty=program.streams.tty,
            stdin=program.stdin,
            paused=self.paused and program.exited is None,
            exited=program.exited,
            ports=self.ports if main else (),
        )
