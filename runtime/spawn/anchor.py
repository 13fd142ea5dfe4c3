"""The anchor: a mount namespace that holds an empty, read-only tmpfs and nothing else.

A new mount namespace is a copy of its maker's. Copied from the host it starts with all the host's mounts,
which then have to be detached; copied from the anchor it starts with one.
"""

from __future__ import annotations

import threading

from runtime.spawn.linux import (
    AT_FDCWD,
    CLONE_NEWNS,
    MNT_DETACH,
    MS_NODEV,
    MS_NOEXEC,
    MS_NOSUID,
    MS_PRIVATE,
    MS_RDONLY,
    MS_REC,
    O_CLOEXEC,
)
from runtime.spawn.tape import StepError, Tape


def make_anchor(mountpoint: str) -> int:
    """Return a descriptor of a new anchor; it lives as long as the descriptor. The caller closes it.

    mountpoint: a directory of the host, used in the new namespace only. Raises StepError.
    """
    found: list[int | StepError] = []

    def work() -> None:
        try:
            found.append(_tape(mountpoint).walk({})[_NAMESPACE])
        except StepError as error:
            found.append(error)

    # A thread of its own: unshare and pivot_root then concern this thread only, and it ends with them.
    thread = threading.Thread(target=work, name="anchor")
    thread.start()
    thread.join()
    if isinstance(found[0], StepError):
        raise found[0]
    return found[0]


_NAMESPACE = 2


def _tape(mountpoint: str) -> Tape:
    tape = Tape()
    tape.add("new mount namespace", "unshare", CLONE_NEWNS)
    tape.add("cut mount propagation", "mount", 0, "/", 0, MS_REC | MS_PRIVATE, 0)
    tape.add("open the namespace", "openat", AT_FDCWD, "/proc/thread-self/ns/mnt", O_CLOEXEC, 0)
    flags = MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC
    tape.add(
        f"mount tmpfs on {mountpoint}", "mount", "anchor", mountpoint, "tmpfs", flags, "size=4k,mode=555"
    )
    tape.add(f"go to {mountpoint}", "chdir", mountpoint)
    tape.add("pivot_root", "pivot_root", ".", ".")
    tape.add("detach the host's mounts", "umount2", ".", MNT_DETACH)
    return tape
