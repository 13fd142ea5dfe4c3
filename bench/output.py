"""Writes a file whole: a reader sees the old content or the new, never a part.

That takes a rename. The suite runs as root, whose rename over /dev/null, a FIFO or a link succeeds and breaks
the host. So links are followed, what is not a file is written into or refused, and a read-only file is
refused though root could write it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
from pathlib import Path

_REFUSED = (
    (stat.S_ISDIR, errno.EISDIR, "a directory"),
    (stat.S_ISBLK, errno.ENOTBLK, "a block device"),
    (stat.S_ISSOCK, errno.ENXIO, "a socket"),
)
_ANY_WRITE = 0o222
_MOST_LINKS = 40
"""As many as the kernel follows."""


class RefusedError(OSError):
    """What is at the path is not to be written to. strerror: what it is, and what to do."""


def write(path: Path, data: bytes) -> None:
    """Replace what a file holds by `data`, or leave it as it was; its owner and mode stay.

    A FIFO, a character device and an open descriptor (/dev/stdout) take the data as it comes. Raises
    RefusedError, OSError.
    """
    number = _descriptor(path)
    if number is not None:
        _pour(os.dup(number), data)
        return
    target = Path(os.path.realpath(path))
    try:
        found = target.stat()
    except FileNotFoundError:
        _replace(target, data, None)
        return
    _check(target, found)
    if stat.S_ISREG(found.st_mode):
        _replace(target, data, found)
    else:
        _pour(os.open(target, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC), data)


def _descriptor(path: Path) -> int | None:
    """Return the number of the open descriptor of ours that `path` leads to, if it does."""
    ours, here = os.path.realpath("/proc/self/fd"), os.fspath(path)
    for _ in range(_MOST_LINKS):
        folder, name = os.path.split(here)
        folder = os.path.realpath(folder or ".")
        if folder == ours and name.isdecimal():
            return int(name)
        try:
            here = os.path.join(folder, os.readlink(os.path.join(folder, name)))  # noqa: PTH118, PTH115
        except OSError:
            return None
    return None


def _check(target: Path, found: os.stat_result) -> None:
    for is_it, number, kind in _REFUSED:
        if is_it(found.st_mode):
            raise RefusedError(number, f"it is {kind}; choose another --out", str(target))
    if not found.st_mode & _ANY_WRITE or not os.access(target, os.W_OK):
        why = "it is read-only; make it writable, or choose another --out"
        raise RefusedError(errno.EACCES, why, str(target))


def _pour(fd: int, data: bytes) -> None:
    with os.fdopen(fd, "wb") as file:
        file.write(data)


def _replace(target: Path, data: bytes, old: os.stat_result | None) -> None:
    scratch = target.with_name(f".ninetynine-{os.getpid()}-{secrets.token_hex(4)}.tmp")
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        fd = os.open(scratch, flags, 0o666)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            if old is not None:
                with contextlib.suppress(PermissionError):
                    os.fchown(file.fileno(), old.st_uid, old.st_gid)
                os.fchmod(file.fileno(), stat.S_IMODE(old.st_mode))
            os.fsync(file.fileno())
        scratch.replace(target)
    except BaseException:
        with contextlib.suppress(OSError):
            scratch.unlink()
        raise
    _sync(target.parent)


def _sync(directory: Path) -> None:
    """Make the rename itself outlive a loss of power."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
