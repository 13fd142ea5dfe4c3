"""The protocol of API process and spawner: one msgpack document a message, with descriptors."""

from __future__ import annotations

from typing import Literal

import msgspec

from runtime.engine.config import ContainerConfig
from runtime.network.model import Endpoint as Endpoint
from runtime.network.model import NetworkSpec as NetworkSpec
from runtime.network.model import Port
from runtime.spawn.cgroups import Limits

VERSION = 3
"""The version of this protocol. A daemon does not talk to a spawner of another version."""

MAIN = ""
"""The exec id of a container's own program."""


class Start(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Start a container whose config is complete: its layers are resolved, and nothing is added to it.

    config.home keeps its writable layer: it is made when missing, and never removed. streams: three pipes, or
    one terminal (config.tty) of rows x columns; without stdin the program has /dev/null there. joined:
    namespace (network, ipc, pid, uts) → id of the running container to share it with; the config names these
    namespaces too, and with ipc /dev/shm is shared. endpoints, ports: for a network namespace of its own;
    config.network is then that of the first. coming: ids that the next containers will have, so that their
    cgroups can be made ahead.
    """

    id: str
    config: ContainerConfig
    stdin: bool = False
    joined: dict[str, str] = {}
    endpoints: tuple[Endpoint, ...] = ()
    ports: tuple[Port, ...] = ()
    rows: int = 0
    columns: int = 0
    coming: tuple[str, ...] = ()


class Exec(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Start a program in a running container; None is the container's own. caps None with privileged: all."""

    id: str
    exec_id: str
    argv: tuple[str, ...]
    env: tuple[str, ...] | None = None
    cwd: str | None = None
    user: str | None = None
    privileged: bool = False
    tty: bool = False
    stdin: bool = False
    rows: int = 0
    columns: int = 0


class Started(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Answer to Start and Exec. pid on the host. fds beside it: (stdin, stdout, stderr), or one terminal.

    Without stdin there are two. The spawner keeps copies, so none breaks when the API's process dies.
    ports: as bound, with the host's port filled in where 0 was asked.
    """

    pid: int
    started_ns: int
    ports: tuple[Port, ...] = ()


class Exited(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Sent unrequested when a program has ended, and to each new API process until it is acknowledged."""

    id: str
    exec_id: str
    code: int
    oom_killed: bool = False
    finished_ns: int = 0
    """Wall clock (time.time_ns)."""


class Running(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What the spawner holds for a container or exec, as sent to an API process that has just connected."""

    id: str
    exec_id: str
    pid: int
    tty: bool
    stdin: bool
    paused: bool = False
    exited: Exited | None = None
    ports: tuple[Port, ...] = ()


class Usage(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """What a container uses now, of its cgroup and its network namespace. Bytes, ns, counts.

    interfaces: name inside → (rx bytes, packets, errors, dropped, tx bytes, packets, errors, dropped).
    cpu_each_ns: the time on each processor, () where nobody counts it. memory_stat: the kernel's memory.stat.
    memory_refused: how often the limit was hit. io_tables: name in Docker's API → (major, minor, operation,
    value); bytes and operations with the kernel's names on v1, bytes alone on v2.
    """

    cpu_ns: int
    cpu_user_ns: int
    cpu_system_ns: int
    memory_bytes: int
    memory_max: int | None
    memory_peak: int | None
    pids: int
    pids_max: int | None
    throttled_periods: int = 0
    periods: int = 0
    throttled_ns: int = 0
    oom_kills: int = 0
    memory_refused: int = 0
    memory_stat: dict[str, int] = {}
    cpu_each_ns: tuple[int, ...] = ()
    interfaces: dict[str, tuple[int, ...]] = {}
    io_tables: dict[str, tuple[tuple[int, int, str, int], ...]] = {}


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Answer to what could not be done: the message of our error and the name of its class.

    exit_code: of a StartFailedError.
    """

    kind: str
    message: str
    exit_code: int = 0


class Signal(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Send a signal to a container's program or an exec."""

    id: str
    number: int
    exec_id: str = MAIN


class Act(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Requests that need no more than a name. Answered by Done, usage by Usage and pids by Pids.

    release: the container has ended and its output is read: free its cgroup and network; acknowledges its
    exit. A descriptor that pins its mounts comes with Done, if there is one. streams: the descriptors once
    more. close_stdin: the program reads its end of input. resolver: the two sockets at which the container
    asks for names (UDP, and listening TCP) come with Done, or none. network_down: id is a network's. end:
    kill all containers, free everything, and exit.
    """

    what: Literal[
        "pause",
        "unpause",
        "usage",
        "pids",
        "release",
        "streams",
        "resolver",
        "close_stdin",
        "kill_all",
        "network_down",
        "end",
    ]
    id: str
    exec_id: str = MAIN


class Resize(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Set the size of a terminal."""

    id: str
    rows: int
    columns: int
    exec_id: str = MAIN


class Update(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Set the limits of a running container that are not None."""

    id: str
    limits: Limits


class Link(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Attach a running container to one more network, or (connect False) take it off.

    ports: what to publish, unless its ports are held already.
    """

    id: str
    endpoint: Endpoint
    connect: bool
    ports: tuple[Port, ...] = ()


class Hello(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The first message on a connection."""

    version: int = VERSION


class Welcome(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Answer to Hello: all the spawner holds, ended and not yet released ones too. pid: its own."""

    pid: int
    running: tuple[Running, ...] = ()
    version: int = VERSION


class Pids(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Pids on the host."""

    pids: tuple[int, ...]


class Linked(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Answer to Link: the endpoint as made, and the ports that are published now (None: not changed)."""

    endpoint: Endpoint
    ports: tuple[Port, ...] | None = None


class Done(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """Answer to what gives nothing back; `streams` comes with its descriptors."""


Request = Hello | Start | Exec | Signal | Act | Resize | Update | Link | NetworkSpec
Answer = Welcome | Started | Usage | Pids | Linked | Done | Failed | Exited
"""Exited is the only unrequested one: it comes with serial 0."""
