"""Start and Exec: start a container or a program in one, and keep the host's ends of its stdio.

Nothing waits between clone and execve: a file system that does not answer blocks its own container only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from runtime.engine.container import Container, StartRecord
from runtime.engine.errors import ConflictError
from runtime.engine.exec_process import ExecOptions
from runtime.engine.pending_start import Pending
from runtime.engine.spawner.protocol import MAIN, Answer, Exec, Start, Started
from runtime.engine.spawner.running import Program, RunningContainer
from runtime.engine.spawner.state import SpawnerState
from runtime.engine.spawner.stdio import KeptStdio, Stdio
from runtime.network.model import Port
from runtime.spawn import capabilities
from runtime.spawn.owner import Owner

Reply = Callable[[Answer, Sequence[int]], None]
Fail = Callable[[Exception], None]


def start(state: SpawnerState, request: Start, reply: Reply, fail: Fail) -> None:
    """Start a container; reply with duplicates of the descriptors that the spawner keeps.

    A failure leaves nothing behind. Raises the errors of runtime.engine and runtime.network, or gives them to
    `fail`.
    """
    if request.id in state.containers or (request.id, MAIN) in state.starting:
        raise ConflictError(f"start {request.id}: it runs, or was not released after its end")
    joined = {name: state.find_running(other).container for name, other in request.joined.items()}
    container = state.engine.create(request.config, container_id=request.id, joined=joined)  # type: ignore[arg-type]
    _Starting(state, container, request).begin(reply, fail)


class _Starting:
    """A start in progress."""

    def __init__(self, state: SpawnerState, container: Container, request: Start) -> None:
        self._state = state
        self._container = container
        self._request = request
        self._plugged = False
        self._ports: tuple[Port, ...] = ()
        self._stdio: Stdio | None = None

    def begin(self, reply: Reply, fail: Fail) -> None:
        request = self._request
        try:
            self._plug()
            self._stdio = None if request.config.tty else Stdio(stdin=request.stdin)
            child = self._stdio.child if self._stdio is not None else ()
            pending = self._container.begin(*child, size=_size(request))
        except BaseException:
            self._undo()
            raise
        _await(self._state, (request.id, MAIN), pending, lambda: self._settle(pending, reply), fail)

    def _plug(self) -> None:
        """Give the container its links and ports before its program starts."""
        request = self._request
        if not request.endpoints:
            return
        netns_fd = self._container.attach(request.endpoints[0].address)
        if netns_fd is None:
            raise ConflictError(f"start {request.id}: it has no network namespace to connect")
        self._plugged = True
        self._ports = self._state.networks.attach(request.id, netns_fd, request.endpoints, request.ports)

    def _settle(self, pending: Pending[StartRecord], reply: Reply) -> None:
        state, container, request = self._state, self._container, self._request
        try:
            pending.finish()
            fds = [os.dup(container.tty_fd)] if self._stdio is None else self._stdio.kept()
        except BaseException:
            self._undo()
            raise
        streams = KeptStdio(fds, tty=self._stdio is None, stdin=request.stdin)
        running = RunningContainer(container, Program(MAIN, container, streams), self._ports)
        state.containers[request.id] = running
        state.watch(running, running.main)
        state.engine.expect(request.coming)
        state.want(container.config, container.layers)
        reply(Started(pid=container.pid, started_ns=time.time_ns(), ports=self._ports), streams.fds)
        running.pin_mounts(os.path.dirname(request.config.home))  # noqa: PTH120 - a Path takes longer than the rest

    def _undo(self) -> None:
        if self._stdio is not None:
            self._stdio.close()
        self._container.remove()
        if self._plugged:
            self._state.networks.release(self._request.id)


def _await(
    state: SpawnerState, key: tuple[str, str], pending: Pending[Any], settle: Callable[[], None], fail: Fail
) -> None:
    """Settle a pending start once it would not block any more."""
    state.starting[key] = pending

    def ready() -> None:
        state.loop.forget(pending.fd)
        del state.starting[key]
        try:
            settle()
        except Exception as error:
            fail(error)

    state.loop.watch(pending.fd, ready)


def _size(request: Start | Exec) -> tuple[int, int] | None:
    return (request.rows, request.columns) if request.rows and request.columns else None


def execute(state: SpawnerState, request: Exec, reply: Reply, fail: Fail) -> None:
    """Start a program in a running container; as start()."""
    running = state.find_running(request.id)
    if running.paused:
        raise ConflictError(f"Container {request.id} is paused, unpause the container before exec")
    key = (request.id, request.exec_id)
    if request.exec_id in running.execs or request.exec_id == MAIN or key in state.starting:
        raise ConflictError(f"exec {request.exec_id}: it was started before; create another one")
    stdio = None if request.tty else Stdio(stdin=request.stdin)
    try:
        child = stdio.child if stdio is not None else (-1, -1, -1)
        pending = running.container.begin_exec(request.argv, child, _exec_options(request))
    except Exception as error:
        if stdio is not None:
            stdio.close()
        raise _cause(running, error) from error
    finally:
        if running.container.pidfd < 0:  # begin_exec polls the program, and may have reaped it
            state.notice(running, running.main)

    def settle() -> None:
        try:
            process = pending.finish()
            fds = [process.tty_fd] if stdio is None else stdio.kept()
        finally:
            if stdio is not None:
                stdio.close()
        streams = KeptStdio(fds, tty=request.tty, stdin=request.stdin)
        program = running.execs[request.exec_id] = Program(request.exec_id, process, streams)
        state.watch(running, program)
        reply(Started(pid=program.pid, started_ns=time.time_ns()), streams.fds)

    _await(state, key, pending, settle, lambda error: fail(_cause(running, error)))


def _cause(running: RunningContainer, error: Exception) -> Exception:
    """Return why an exec failed: in a container that ends meanwhile any step may fail."""
    if running.main.exited is None and Owner.of(running.main.pid) is not None:
        return error
    return ConflictError(f"container {running.id} is not running")


def _exec_options(request: Exec) -> ExecOptions:
    caps = capabilities.names(capabilities.grantable()) if request.privileged else None
    return ExecOptions(
        env=request.env,
        cwd=request.cwd or None,
        user=request.user or None,
        caps=caps,
        tty=request.tty,
        size=_size(request),
    )
