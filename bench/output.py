"""Write files atomically: a reader sees the old content or the new, never a part.

That needs a rename. The suite runs as root, for which renaming over /dev/null, a FIFO or a link succeeds and
breaks the host. So links are followed, paths that are not regular files are written to directly or refused,
and read-only files are refused although root could write them.
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
"""As many as the kernel follows (path_resolution(7))."""


class RefusedError(OSError):
    """The path must not be written to. strerror: what it is, and what to do."""


def write(path: Path, data: bytes) -> None:
    """Replace the content of a file by `data`, or leave it unchanged on failure; owner and mode stay.

    FIFOs, character devices and open descriptors (/dev/stdout) are written to directly. Raises RefusedError,
    OSError.
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
    """Return the number of this process's descriptor that `path` leads to, None if it leads elsewhere."""
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
    """Make the rename itself durable."""
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
