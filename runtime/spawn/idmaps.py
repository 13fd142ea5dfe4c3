"""User namespaces and their id maps, which only the parent process can write."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from runtime.spawn.linux import CLONE_NEWUSER
from runtime.spawn.namespaces import add_wait_for_maps
from runtime.spawn.tape import Paused, StepError, StepKilledError, Tape, pointers


class IdRange(NamedTuple):
    """Map `size` ids from `inside` on in the namespace to those from `outside` on in the host's."""

    inside: int
    outside: int
    size: int


class IdMaps(NamedTuple):
    """The maps of a user namespace."""

    uids: tuple[IdRange, ...]
    gids: tuple[IdRange, ...]

    def outside(self, uid: int, gid: int) -> tuple[int, int]:
        """Return the host's ids of a user and group of the namespace; KeyError if they are not mapped."""
        return _outside(self.uids, uid), _outside(self.gids, gid)


def _outside(ranges: Sequence[IdRange], number: int) -> int:
    for found in ranges:
        if found.inside <= number < found.inside + found.size:
            return found.outside + number - found.inside
    raise KeyError(number)


def write_maps(pid: int, maps: IdMaps) -> None:
    """Write the maps of the user namespace of process `pid`. Raises StepError."""
    for name, ranges in (("uid_map", maps.uids), ("gid_map", maps.gids)):
        text = "".join(f"{r.inside} {r.outside} {r.size}\n" for r in ranges)
        try:
            Path(f"/proc/{pid}/{name}").write_text(text)
        except OSError as error:
            raise StepError(f"write {text!r} to {name}", error.errno or errno.EIO) from error


@contextlib.contextmanager
def mapping_pipe() -> Iterator[tuple[int, int]]:
    """Make a pipe whose read end is for slot `mapped`."""
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        yield read, write
    finally:
        os.close(read)
        os.close(write)


def let_go(paused: Paused, maps: IdMaps, go_fd: int) -> None:
    """Write the maps of a paused child and let it go on through `go_fd`. Raises StepError."""
    try:
        write_maps(paused.pid, maps)
    except BaseException:
        signal.pidfd_send_signal(paused.pidfd, signal.SIGKILL)
        with contextlib.suppress(StepError, StepKilledError):
            paused.finish()
        raise
    os.write(go_fd, b"1")


def make_user_namespace(maps: IdMaps) -> int:
    """Return a descriptor of a new user namespace with `maps`, for mounts with mapped owners.

    Raises StepError; EPERM if this process is in a chroot or may not make user namespaces.
    """
    tape = Tape()
    add_wait_for_maps(tape)
    tape.add("execve", "execve", "/", pointers([]), pointers([]))
    with mapping_pipe() as (read, _):
        try:
            paused = Paused(tape, {"mapped": read}, CLONE_NEWUSER, None)
        except StepError as error:
            step = "make a user namespace (the kernel refuses it in a chroot)"
            raise StepError(step, error.errno or errno.EPERM) from error
        try:
            write_maps(paused.pid, maps)
            return os.open(f"/proc/{paused.pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
        finally:
            signal.pidfd_send_signal(paused.pidfd, signal.SIGKILL)
            with contextlib.suppress(StepError, StepKilledError):
                paused.finish()
