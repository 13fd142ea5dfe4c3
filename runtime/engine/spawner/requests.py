"""Requests that are answered at once: signals, streams, limits, networks, usage."""

from __future__ import annotations

import signal
from collections.abc import Callable

from runtime.engine.errors import ConflictError, EngineError
from runtime.engine.spawner.protocol import (
    Act,
    Answer,
    Done,
    Link,
    Linked,
    NetworkSpec,
    Pids,
    Request,
    Resize,
    Signal,
    Update,
)
from runtime.engine.spawner.running import RunningContainer
from runtime.engine.spawner.state import SpawnerState
from runtime.engine.spawner.teardown import insist, unpause
from runtime.engine.spawner.usage import read_usage
from runtime.spawn import terminal
from runtime.spawn.cgroups import Cgroup

Reply = tuple[Answer, list[int]]
_DONE: Reply = (Done(), [])


def act(state: SpawnerState, request: Request) -> Reply:
    """Do what is asked; return the answer and its descriptors, which stay the spawner's."""
    if isinstance(request, Act):
        return _ACTS[request.what](state, request)
    if isinstance(request, Signal):
        return _signal(state, request)
    if isinstance(request, Resize):
        return _resize(state, request)
    if isinstance(request, Update):
        _group(state.find_running(request.id)).update(request.limits)
    elif isinstance(request, Link):
        return _link(state, request)
    elif isinstance(request, NetworkSpec):
        state.networks.up(request)
    else:
        raise EngineError(f"the spawner does not know {type(request).__name__}; this is a bug, report it")
    return _DONE


def _signal(state: SpawnerState, request: Signal) -> Reply:
    running, program = state.find_program(request.id, request.exec_id)
    if program.exited is None:
        program.child.kill(request.number)
        if program is running.main and request.number == signal.SIGKILL:
            insist(state, running)
    return _DONE


def _resize(state: SpawnerState, request: Resize) -> Reply:
    _, program = state.find_program(request.id, request.exec_id)
    if not program.streams.tty:
        raise ConflictError(f"resize {request.exec_id or request.id}: it has no terminal")
    if program.streams.fds:
        terminal.resize(program.streams.fds[0], request.rows, request.columns)
    return _DONE


def _link(state: SpawnerState, request: Link) -> Reply:
    running = state.find_running(request.id)
    netns_fd = running.container.attach()
    if netns_fd is None:
        raise ConflictError(f"connect {request.id}: it has no network namespace")
    networks = state.networks
    if request.connect:
        endpoint = networks.connect(request.id, netns_fd, request.endpoint, request.ports)
    else:
        endpoint = networks.disconnect(request.id, netns_fd, request.endpoint)
    running.ports = networks.published(request.id)
    return Linked(endpoint=endpoint, ports=running.ports), []


def _group(running: RunningContainer) -> Cgroup:
    if running.container.group is None:
        raise ConflictError(f"limit {running.id}: it has no cgroup; start it with one")
    return running.container.group


def _unpause(state: SpawnerState, request: Act) -> Reply:
    unpause(state.find_running(request.id))
    return _DONE


def _usage(state: SpawnerState, request: Act) -> Reply:
    return read_usage(state.find(request.id)), []


def _pids(state: SpawnerState, request: Act) -> Reply:
    return Pids(pids=_group(state.find(request.id)).procs()), []


def _streams(state: SpawnerState, request: Act) -> Reply:
    _, program = state.find_program(request.id, request.exec_id)
    return Done(), program.streams.fds


def _resolver(state: SpawnerState, request: Act) -> Reply:
    state.find(request.id)
    return Done(), list(state.networks.resolver(request.id)) if state.has_networks else []


def _close_stdin(state: SpawnerState, request: Act) -> Reply:
    _, program = state.find_program(request.id, request.exec_id)
    program.streams.close_stdin()
    return _DONE


def _kill_all(state: SpawnerState, request: Act) -> Reply:
    running = state.find(request.id)
    _group(running).kill_now()
    return _DONE


def _network_down(state: SpawnerState, request: Act) -> Reply:
    if state.has_networks:
        state.networks.down(request.id)
    return _DONE


_ACTS: dict[str, Callable[[SpawnerState, Act], Reply]] = {
    "unpause": _unpause,
    "usage": _usage,
    "pids": _pids,
    "streams": _streams,
    "resolver": _resolver,
    "close_stdin": _close_stdin,
    "kill_all": _kill_all,
    "network_down": _network_down,
}
