"""The anchor: a mount namespace with a single mount, an empty read-only tmpfs.

A new mount namespace is a copy of its creator's. A copy of the host's has all the host's mounts, which must
then be detached; a copy of the anchor has one.
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
    """Return a descriptor of a new anchor, which lives as long as the descriptor. The caller closes it.

    mountpoint: a directory of the host, mounted on only in the new namespace. Raises StepError.
    """
    # unshare and pivot_root then affect only that thread.
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
    """Append the way to the namespace's real root, for a process that is itself in a chroot.

    In a chroot `/` is not a mount point, so its propagation cannot be changed and pivot_root refuses. After a
    chroot to `below` the working directory is outside the root, and nothing stops `..`.
    """
    tape.add("go to /", "chdir", "/")
    tape.add(f"change root to {below}", "chroot", below)
    tape.add("go up", "chdir", _UP)
    tape.add("change root to the top", "chroot", ".")
