"""Pseudo-terminals, made and opened only by descriptor, so that no path in a container can replace one."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import termios
from typing import NamedTuple

from runtime.spawn.linux import (
    AT_EMPTY_PATH,
    FSCONFIG_CMD_CREATE,
    FSCONFIG_SET_STRING,
    FSMOUNT_CLOEXEC,
    FSOPEN_CLOEXEC,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOVE_MOUNT_F_EMPTY_PATH,
    MOVE_MOUNT_T_EMPTY_PATH,
    OPEN_TREE_CLOEXEC,
    OPEN_TREE_CLONE,
    TIOCGPTPEER,
    TIOCSCTTY,
)
from runtime.spawn.mounts import add_file, add_open
from runtime.spawn.tape import Result, Slot, Tape

_PTMX = os.makedev(5, 2)
_TIOCSPTLCK = 0x40045431


class Terminal(NamedTuple):
    """Both ends of a pseudo-terminal: the host's and the program's. The caller owns both."""

    master_fd: int
    peer_fd: int


def make_devpts() -> int:
    """Make a detached devpts instance and return its descriptor. Raises StepError."""
    tape = Tape()
    fs = tape.add("open devpts", "fsopen", "devpts", FSOPEN_CLOEXEC)
    for key, value in (("ptmxmode", "0666"), ("mode", "0620"), ("gid", "5")):
        tape.add(f"devpts {key}", "fsconfig", fs, FSCONFIG_SET_STRING, key, value, 0)
    tape.add("create devpts", "fsconfig", fs, FSCONFIG_CMD_CREATE, 0, 0, 0)
    tape.add("mount devpts", "fsmount", fs, FSMOUNT_CLOEXEC, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC)
    results = tape.walk({})
    os.close(results[0])
    return results[-1]


def open_terminal(devpts_fd: int) -> Terminal:
    """Open a new pseudo-terminal of the devpts instance at `devpts_fd`.

    Raises OSError, also if the directory holds something else instead of ptmx (CVE-2025-52565).
    """
    master = os.open("ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=devpts_fd)
    try:
        if os.fstat(master).st_rdev != _PTMX:
            raise OSError(errno.ENXIO, "the container's /dev/pts/ptmx is not a pseudo-terminal multiplexer")
        fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
        peer = fcntl.ioctl(master, TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    except BaseException:
        os.close(master)
        raise
    return Terminal(master, peer)


def resize(master_fd: int, rows: int, columns: int) -> None:
    """Set the size of the window; the foreground program gets SIGWINCH."""
    fcntl.ioctl(master_fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def add_controlling(tape: Tape) -> None:
    """Append making stdin the controlling terminal; must follow setsid."""
    tape.add("set controlling terminal", "ioctl", 0, TIOCSCTTY, 0)


def add_console(tape: Tape, root: Result) -> None:
    """Append binding stdin, a terminal, to /dev/console."""
    add_file(tape, root, "/dev/console")
    clone = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH
    tree = tape.add("take the terminal's mount", "open_tree", 0, "", clone)
    target = add_open(tape, root, "/dev/console")
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    tape.add("mount the terminal on /dev/console", "move_mount", tree, "", target, "", flags)


def add_devpts(tape: Tape, root: Result) -> None:
    """Append attaching the devpts instance in slot `devpts` to /dev/pts."""
    target = add_open(tape, root, "/dev/pts", strict=True)
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    tape.add("mount devpts on /dev/pts", "move_mount", Slot("devpts"), "", target, "", flags)
