"""The anchor: a mount namespace that holds an empty, read-only tmpfs and nothing else.

A new mount namespace is a copy of its maker's. Copied from the host it starts with all the host's mounts,
which then have to be detached; copied from the anchor it starts with one.
"""

from __future__ import annotations

from runtime.spawn.linux import (
    AT_FDCWD,
    CLONE_NEWNS,
    FSCONFIG_CMD_CREATE,
    FSCONFIG_SET_STRING,
    FSMOUNT_CLOEXEC,
    FSOPEN_CLOEXEC,
    MNT_DETACH,
    MOUNT_ATTR_NODEV,
    MOUNT_ATTR_NOEXEC,
    MOUNT_ATTR_NOSUID,
    MOUNT_ATTR_RDONLY,
    MOVE_MOUNT_F_EMPTY_PATH,
    MOVE_MOUNT_T_EMPTY_PATH,
    MS_PRIVATE,
    MS_REC,
    O_CLOEXEC,
    O_DIRECTORY,
    O_PATH,
)
from runtime.spawn.namespaces import in_own_thread
from runtime.spawn.tape import Tape


def make_anchor(mountpoint: str) -> int:
    """Return a descriptor of a new anchor; it lives as long as the descriptor. The caller closes it.

    mountpoint: a directory of the host, used in the new namespace only. Raises StepError.
    """
    # unshare and pivot_root then concern that thread only.
    return in_own_thread("anchor", lambda: _tape(mountpoint).walk({})[_NAMESPACE])


_NAMESPACE = 1
_UP = "../" * 512


def _tape(mountpoint: str) -> Tape:
    tape = Tape()
    tape.add("new mount namespace", "unshare", CLONE_NEWNS)
    tape.add("open the namespace", "openat", AT_FDCWD, "/proc/thread-self/ns/mnt", O_CLOEXEC, 0)
    place = tape.add(
        f"open {mountpoint}", "openat", AT_FDCWD, mountpoint, O_PATH | O_DIRECTORY | O_CLOEXEC, 0
    )
    _add_way_up(tape, mountpoint)
    tape.add("cut mount propagation", "mount", 0, "/", 0, MS_REC | MS_PRIVATE, 0)
    fs = tape.add("open tmpfs", "fsopen", "tmpfs", FSOPEN_CLOEXEC)
    for key, value in (("source", "anchor"), ("size", "4k"), ("mode", "555")):
        tape.add(f"tmpfs {key}", "fsconfig", fs, FSCONFIG_SET_STRING, key, value, 0)
    tape.add("create tmpfs", "fsconfig", fs, FSCONFIG_CMD_CREATE, 0, 0, 0)
    attributes = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
    root = tape.add("mount tmpfs", "fsmount", fs, FSMOUNT_CLOEXEC, attributes)
    flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH
    tape.add(f"mount tmpfs on {mountpoint}", "move_mount", root, "", place, "", flags)
    tape.add("go to the tmpfs", "fchdir", root)
    tape.add("pivot_root", "pivot_root", ".", ".")
    tape.add("detach the host's mounts", "umount2", ".", MNT_DETACH)
    for fd in (place, fs, root):
        tape.add("close", "close", fd)
    return tape


def _add_way_up(tape: Tape, below: str) -> None:
    """Append the way to the namespace's real root, for a host process that is itself in a chroot.

    In a chroot `/` is no mount, so its propagation cannot be cut and pivot_root refuses. With the root moved
    to `below`, the working directory is outside of it, and `..` is held by nothing.
    """
    tape.add("go to /", "chdir", "/")
    tape.add(f"change root to {below}", "chroot", below)
    tape.add("go up", "chdir", _UP)
    tape.add("change root to the top", "chroot", ".")
