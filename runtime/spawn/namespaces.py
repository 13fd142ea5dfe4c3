"""Namespaces by the OCI spec's names, and the steps that make and join them."""

from __future__ import annotations

import contextlib
import struct
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

from runtime.spawn.linux import (
    AT_FDCWD,
    CLONE_NEWCGROUP,
    CLONE_NEWIPC,
    CLONE_NEWNET,
    CLONE_NEWNS,
    CLONE_NEWPID,
    CLONE_NEWTIME,
    CLONE_NEWUSER,
    CLONE_NEWUTS,
    O_CLOEXEC,
    O_WRONLY,
)
from runtime.spawn.tape import Slot, Tape

T = TypeVar("T")

_AF_INET, _SOCK_DGRAM = 2, 2
_SIOCSIFFLAGS, _IFF_UP, _IFF_RUNNING = 0x8914, 0x1, 0x40

FLAGS = {
    "user": CLONE_NEWUSER,
    "pid": CLONE_NEWPID,
    "mount": CLONE_NEWNS,
    "uts": CLONE_NEWUTS,
    "ipc": CLONE_NEWIPC,
    "network": CLONE_NEWNET,
    "cgroup": CLONE_NEWCGROUP,
    "time": CLONE_NEWTIME,
}


def clone_flags(names: frozenset[str] | tuple[str, ...]) -> int:
    """Return the CLONE_NEW* flags for clone3 of `names`, but for cgroup and time (see add_late).

    A cgroup namespace must be made after joining the cgroup, which becomes its root. Older kernels refuse a
    new time namespace together with CLONE_VM; made by unshare it takes effect at execve.
    """
    flags = 0
    for name in names:
        if name not in ("cgroup", "time"):
            flags |= FLAGS[name]
    return flags


def add_late(tape: Tape, names: frozenset[str] | tuple[str, ...]) -> None:
    """Append the namespaces that can only be made by the child, after it has joined the cgroup."""
    if "cgroup" in names:
        tape.add("new cgroup namespace", "unshare", CLONE_NEWCGROUP)
    if "time" in names:
        tape.add("new time namespace", "unshare", CLONE_NEWTIME)


def add_wait_for_maps(tape: Tape) -> None:
    """Append waiting for a byte from slot `mapped`, while the parent writes the id maps."""
    tape.add("wait for the id maps", "read", Slot("mapped"), tape.room(8), 1)


def add_become_root(tape: Tape) -> None:
    """Append becoming user and group 0 of a new user namespace, once it has its maps."""
    tape.add("become group 0 of the user namespace", "setresgid", 0, 0, 0)
    tape.add("become user 0 of the user namespace", "setresuid", 0, 0, 0)


def add_loopback(tape: Tape) -> None:
    """Append bringing up the loopback link of a new network namespace."""
    fd = tape.add("open a socket", "socket", _AF_INET, _SOCK_DGRAM | O_CLOEXEC, 0)
    request = struct.pack("16sH14x", b"lo", _IFF_UP | _IFF_RUNNING)
    tape.add("switch lo on", "ioctl", fd, _SIOCSIFFLAGS, request)


def add_time_offset(tape: Tape, clock: str, seconds: int, nanoseconds: int) -> None:
    """Append setting a clock's offset (`monotonic` or `boottime`) to the host's; before any new process."""
    path, line = "/proc/self/timens_offsets", f"{clock} {seconds} {nanoseconds}".encode()
    fd = tape.add("open timens_offsets", "openat", AT_FDCWD, path, O_WRONLY | O_CLOEXEC, 0)
    tape.add(f"set the offset of the {clock} clock", "write", fd, line, len(line))


def add_join(tape: Tape, name: str, slot: str) -> None:
    """Append setns into the namespace whose descriptor is in `slot`."""
    tape.add(f"join {name} namespace", "setns", Slot(slot), FLAGS[name])


@contextlib.contextmanager
def children_in_pid_namespace(target_fd: int, own_fd: int) -> Iterator[None]:
    """Let children of the calling thread start in the pid namespace of `target_fd`.

    target_fd may be a pidfd or a namespace descriptor, own_fd is /proc/self/ns/pid. This affects only
    children of the calling thread: setns with CLONE_NEWPID never moves the caller itself.
    """
    _enter_pid_namespace(target_fd)
    try:
        yield
    finally:
        _enter_pid_namespace(own_fd)


def _enter_pid_namespace(fd: int) -> None:
    tape = Tape()
    tape.add("enter pid namespace", "setns", fd, CLONE_NEWPID)
    tape.walk({})


def in_own_thread(name: str, work: Callable[[], T]) -> T:
    """Do `work` in a new thread, and return what it returns or raise what it raises.

    Namespaces and a root that the work enters then affect only that thread.
    """
    done: list[T] = []
    failed: list[BaseException] = []

    def run() -> None:
        try:
            done.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=run, name=name)
    thread.start()
    thread.join()
    if failed:
        raise failed[0]
    return done[0]
