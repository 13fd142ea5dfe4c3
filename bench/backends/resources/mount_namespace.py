"""A mount namespace that is kept alive by a descriptor only, and ends with it.

Overlays of crun and mounts of dockerd are made there, so the host's mount table stays clean even after
kill -9. The unified cgroup hierarchy of a hybrid host is unmounted there, because crun refuses to work where
it finds both kinds.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from bench.backends.base import BackendError
from bench.backends.programs import launch
from bench.backends.programs.streams import close_all, pipe
from runtime.spawn import linux
from runtime.spawn.tape import Slot, StepError, Tape, pointers, spawn


def make(empty: tuple[str, ...] = ()) -> int:
    """Return a descriptor of a new private mount namespace, without a hybrid host's unified hierarchy.

    Each directory of `empty` is covered by an empty tmpfs.
    """
    read, write = pipe()
    try:
        spawned = spawn(
            _tape(empty),
            {"fd0": read, "fd1": read, "fd2": read, "argv": pointers(["cat"]), "env": pointers([])},
            linux.CLONE_NEWNS,
        )
    except StepError as error:
        close_all(write)
        raise BackendError(f"make a mount namespace: {error}; root is needed") from error
    finally:
        close_all(read)
    try:
        return os.open(f"/proc/{spawned.pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        close_all(write)
        os.waitid(os.P_PIDFD, spawned.pidfd, os.WEXITED)
        os.close(spawned.pidfd)


def hybrid_unified() -> Path | None:
    """Return the mount point of a hybrid host's unified hierarchy, None on other hosts."""
    unified = Path("/sys/fs/cgroup/unified")
    return unified if os.path.ismount(unified) else None


def why_unavailable(mountinfo: str | None = None) -> str:
    """Return why no mount namespace can be used here, "" if it can.

    In a plain chroot the root is not a mount point, so it cannot be made private. mountinfo: the text of
    /proc/self/mountinfo (proc(5)), by default this process's.
    """
    text = Path("/proc/self/mountinfo").read_text() if mountinfo is None else mountinfo
    if any(line.split()[4] == "/" for line in text.splitlines()):
        return ""
    return "this root is a plain chroot and not a mount point, so mounts cannot be hidden from the host"


def _tape(empty: tuple[str, ...]) -> Tape:
    tape = Tape()
    tape.add("make mounts private", "mount", 0, "/", 0, linux.MS_REC | linux.MS_PRIVATE, 0)
    unified = hybrid_unified()
    if unified is not None:
        tape.add(f"unmount {unified}", "umount2", str(unified), linux.MNT_DETACH, forgive=(errno.EINVAL,))
    for directory in empty:
        tape.add(f"cover {directory}", "mount", "tmpfs", directory, "tmpfs", 0, "mode=755")
    launch.add_stdio(tape)
    tape.add("execve", "execve", "/bin/cat", Slot("argv"), Slot("env"))
    return tape
