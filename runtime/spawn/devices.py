"""The container's /dev: device nodes and the links that every program expects."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import msgspec

from runtime.spawn.linux import AT_FDCWD, S_IFBLK, S_IFCHR, S_IFIFO
from runtime.spawn.mounts import add_attach, add_directory, add_open
from runtime.spawn.tape import Result, Tape

_NOFOLLOW = 0x100
_KIND = {"c": S_IFCHR, "u": S_IFCHR, "b": S_IFBLK, "p": S_IFIFO}


class DeviceNode(msgspec.Struct, frozen=True):
    """One device node."""

    path: str
    kind: str
    major: int
    minor: int
    mode: int = 0o666
    uid: int = 0
    gid: int = 0


DEFAULT = (
    DeviceNode("/dev/null", "c", 1, 3),
    DeviceNode("/dev/zero", "c", 1, 5),
    DeviceNode("/dev/full", "c", 1, 7),
    DeviceNode("/dev/random", "c", 1, 8),
    DeviceNode("/dev/urandom", "c", 1, 9),
    DeviceNode("/dev/tty", "c", 5, 0),
)
KCORE = "/proc/kcore"
LINKS = (
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/dev/ptmx", "pts/ptmx"),
    ("/dev/core", KCORE),
)


def add_bound_nodes(tape: Tape, root: Result, nodes: tuple[DeviceNode, ...]) -> None:
    """Append binds of the host's nodes, and the links, for a user namespace, which may not make nodes.

    Slots: `device0`… are detached mounts of the host's nodes at the same paths.
    """
    for number, node in enumerate(nodes):
        add_attach(tape, root, node.path, f"device{number}", directory=False)
    _add_links(tape)


def add_nodes(tape: Tape, root: Result, nodes: tuple[DeviceNode, ...]) -> None:
    """Append making the nodes and links in a /dev that this tape has just mounted. Needs CAP_MKNOD."""
    tape.add("umask 0", "umask", 0)
    for node in nodes:
        where: int | Result = AT_FDCWD
        path = node.path
        if not path.startswith("/dev/") or path.count("/") > 2:
            parent, _, path = path.rpartition("/")
            add_directory(tape, root, parent)
            where = add_open(tape, root, parent or "/")
        # Outside /dev it may already exist, from the container's last start.
        kept = () if node.path.startswith("/dev/") else (errno.EEXIST,)
        mode, device = _KIND[node.kind] | node.mode, os.makedev(node.major, node.minor)
        tape.add(f"mknod {node.path}", "mknodat", where, path, mode, device, forgive=kept)
        if node.uid or node.gid:
            tape.add(f"chown {node.path}", "fchownat", where, path, node.uid, node.gid, _NOFOLLOW)
    _add_links(tape)
    tape.add("umask 022", "umask", 0o022)


def _add_links(tape: Tape) -> None:
    for path, target in LINKS:
        if target != KCORE or Path(KCORE).exists():  # a kernel may be without it
            tape.add(f"link {path}", "symlinkat", target, AT_FDCWD, path)
