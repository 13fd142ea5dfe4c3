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
from runtime.engine.spawner.running import Held
from runtime.engine.spawner.state import House
from runtime.engine.spawner.teardown import insist, unpause
from runtime.engine.spawner.usage import read_usage
from runtime.spawn import terminal
from runtime.spawn.cgroups import Cgroup

Reply = tuple[Answer, list[int]]
_DONE: Reply = (Done(), [])


def act(house: House, request: Request) -> Reply:
    """Do what is asked; return the answer and its descriptors, which stay the spawner's."""
    if isinstance(request, Act):
        return _ACTS[request.what](house, request)
    if isinstance(request, Signal):
        return _signal(house, request)
    if isinstance(request, Resize):
        return _resize(house, request)
    if isinstance(request, Update):
        _group(house.find_running(request.id)).update(request.limits)
    elif isinstance(request, Link):
        return _link(house, request)
    elif isinstance(request, NetworkSpec):
        house.networks.up(request)
    else:
        raise EngineError(f"the spawner does not know {type(request).__name__}; this is a bug, report it")
    return _DONE


def _signal(house: House, request: Signal) -> Reply:
    held, program = house.find_program(request.id, request.exec_id)
    if program.exited is None:
        program.child.kill(request.number)
        if program is held.main and request.number == signal.SIGKILL:
            insist(house, held)
    return _DONE


def _resize(house: House, request: Resize) -> Reply:
    _, program = house.find_program(request.id, request.exec_id)
    if not program.streams.tty:
        raise ConflictError(f"resize {request.exec_id or request.id}: it has no terminal")
    if program.streams.fds:
        terminal.resize(program.streams.fds[0], request.rows, request.columns)
    return _DONE


def _link(house: House, request: Link) -> Reply:
    held = house.find_running(request.id)
    netns_fd = held.container.attach()
    if netns_fd is None:
        raise ConflictError(f"connect {request.id}: it has no network namespace of its own")
    networks = house.networks
    if request.connect:
        endpoint = networks.connect(request.id, netns_fd, request.endpoint, request.ports)
    else:
        endpoint = networks.disconnect(request.id, netns_fd, request.endpoint)
    held.ports = networks.published(request.id)
    return Linked(endpoint=endpoint, ports=held.ports), []


def _group(held: Held) -> Cgroup:
    if held.container.group is None:
        raise ConflictError(f"limit {held.id}: it has no cgroup; start it with one")
    return held.container.group


def _unpause(house: House, request: Act) -> Reply:
    unpause(house.find_running(request.id))
    return _DONE


def _usage(house: House, request: Act) -> Reply:
    return read_usage(house.find(request.id)), []


def _pids(house: House, request: Act) -> Reply:
    return Pids(pids=_group(house.find(request.id)).procs()), []


def _streams(house: House, request: Act) -> Reply:
    _, program = house.find_program(request.id, request.exec_id)
    return Done(), program.streams.fds


def _resolver(house: House, request: Act) -> Reply:
    house.find(request.id)
    return Done(), list(house.networks.resolver(request.id)) if house.has_networks else []


def _close_stdin(house: House, request: Act) -> Reply:
    _, program = house.find_program(request.id, request.exec_id)
    program.streams.close_stdin()
    return _DONE


def _kill_all(house: House, request: Act) -> Reply:
    held = house.find(request.id)
    _group(held).kill_now()
    return _DONE


def _network_down(house: House, request: Act) -> Reply:
    if house.has_networks:
        house.networks.down(request.id)
    return _DONE


_ACTS: dict[str, Callable[[House, Act], Reply]] = {
    "unpause": _unpause,
    "usage": _usage,
    "pids": _pids,
    "streams": _streams,
    "resolver": _resolver,
    "close_stdin": _close_stdin,
    "kill_all": _kill_all,
    "network_down": _network_down,
}
