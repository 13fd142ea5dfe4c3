"""Start and Exec: a container or a program in one, with the ends of its stdio that are kept."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Callable

import msgspec

from runtime.engine.config import ContainerConfig, bind
from runtime.engine.container import Container
from runtime.engine.errors import ConflictError
from runtime.engine.prepare import searched
from runtime.engine.spawner.held import Held, Program
from runtime.engine.spawner.house import House
from runtime.engine.spawner.protocol import MAIN, Exec, Port, Start, Started
from runtime.engine.spawner.stdio import Stdio, Streams
from runtime.engine.users import find_home
from runtime.oci import defaults
from runtime.spawn import capabilities

_SHORT_ID = 12
_SHM = "/dev/shm"
_home_in_layers = functools.lru_cache(maxsize=64)(find_home)


def start(house: House, request: Start) -> tuple[Started, list[int]]:
    """Start a container; return the answer and the descriptors to hand out, which stay the spawner's.

    Nothing is left of a failure. Raises what the engine and the network room raise.
    """
    if request.id in house.held:
        raise ConflictError(f"start {request.id}: it runs, or was not released after its end")
    joined = {name: house.find_running(other).container for name, other in request.joined.items()}
    config = _completed(request)
    container = house.engine.create(config, id=request.id, joined=joined)  # type: ignore[arg-type]
    with contextlib.ExitStack() as undo:
        ports = _plug(house, container, request, undo)
        streams = _start(container, request)
    held = Held(container, Program(MAIN, container, streams), ports)
    house.held[request.id] = held
    house.watch(held, held.main)
    house.want(container.config, container.layers)
    return Started(pid=container.pid, started_ns=time.time_ns(), ports=ports), streams.fds


def _plug(house: House, container: Container, request: Start, undo: contextlib.ExitStack) -> tuple[Port, ...]:
    """Give the container its links and ports, before its program looks for them."""
    undo.push(_on_error(container.remove))
    if not request.endpoints:
        return ()
    netns_fd = container.attach()
    if netns_fd is None:
        raise ConflictError(f"start {request.id}: it has no network namespace of its own to plug in")
    undo.push(_on_error(lambda: house.networks.release(request.id)))
    return house.networks.attach(request.id, netns_fd, request.endpoints, request.ports)


def _on_error(undo: Callable[[], None]) -> Callable[..., None]:
    """Return an exit of an ExitStack that undoes when there was an error."""

    def leave(kind: object, *_: object) -> None:
        if kind is not None:
            undo()

    return leave


def _start(container: Container, request: Start) -> Streams:
    size = (request.rows, request.columns) if request.rows and request.columns else None
    if request.config.tty:
        container.start(size=size)
        return Streams([os.dup(container.tty_fd)], tty=True, stdin=request.stdin)
    stdio = Stdio(stdin=request.stdin)
    try:
        container.start(*stdio.child)
        return Streams(stdio.kept(), tty=False, stdin=request.stdin)
    finally:
        stdio.close()


def _completed(request: Start) -> ContainerConfig:
    """The container's config with what follows from the rest of the request, and what every one gets."""
    config = request.config
    namespaces = config.namespaces + tuple(n for n in request.joined if n not in config.namespaces)  # type: ignore[operator]
    mounts = config.mounts
    shared = "ipc" not in namespaces and "mount" in namespaces
    if shared and all(mount.destination != _SHM for mount in mounts):
        mounts = (bind(_SHM, _SHM), *mounts)
    config = msgspec.structs.replace(
        config,
        image="",
        entrypoint=None,
        home=request.home,
        hostname=config.hostname or request.id[:_SHORT_ID],
        namespaces=namespaces,
        network="none" if "network" in request.joined else config.network,
        mounts=mounts,
        cgroup_view=True,
    )
    env = config.env if config.env is not None else (defaults.PATH,)
    return msgspec.structs.replace(config, env=_with_home(env, config.user, config, config.layers))


def _with_home(
    env: tuple[str, ...], user: str | None, config: ContainerConfig, layers: tuple[str, ...]
) -> tuple[str, ...]:
    """The environment, with HOME from the image's passwd unless it says one."""
    if any(entry.startswith("HOME=") for entry in env):
        return env
    places = searched(config, layers)
    find = _home_in_layers if places == layers else find_home
    return (*env, f"HOME={find(user or '0', places)}")


def execute(house: House, request: Exec) -> tuple[Started, list[int]]:
    """Start a program in a running container; as start()."""
    held = house.find_running(request.id)
    if held.paused:
        # It would be born frozen, and we with it: until its execve it shares our memory.
        raise ConflictError(f"Container {request.id} is paused, unpause the container before exec")
    if request.exec_id in held.execs or request.exec_id == MAIN:
        raise ConflictError(f"exec {request.exec_id}: it was started before; create another one")
    try:
        program = _execute(held.container, request)
    finally:
        if held.container.pidfd < 0:  # who joins looks whether there is still something to join
            house.notice(held, held.main)
    held.execs[request.exec_id] = program
    house.watch(held, program)
    return Started(pid=program.pid, started_ns=time.time_ns()), program.streams.fds


def _execute(container: Container, request: Exec) -> Program:
    config, env = container.config, request.env
    user = request.user or None
    if env is not None:
        env = _with_home(env, user or config.user, config, container.layers)
    caps = capabilities.names(capabilities.grantable()) if request.privileged else None
    size = (request.rows, request.columns) if request.rows and request.columns else None
    stdio = Stdio(stdin=request.stdin) if not request.tty else None
    try:
        process = container.exec(
            request.argv,
            *(stdio.child if stdio is not None else ()),
            env=env,
            cwd=request.cwd or None,
            user=user,
            caps=caps,
            tty=request.tty,
            size=size,
        )
        fds = [process.tty_fd] if stdio is None else stdio.kept()
    finally:
        if stdio is not None:
            stdio.close()
    return Program(request.exec_id, process, Streams(fds, tty=request.tty, stdin=request.stdin))
