"""A file as a tar's entry, and back: what layers (pack, unpack) and copies (tarout, tarin) have in common."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable, Iterator

_HOLE = 1 << 16
_ZEROS = memoryview(bytes(_HOLE))


def entry_of(name: str, status: os.stat_result, link: Callable[[], str]) -> tarfile.TarInfo:
    """Return the entry of any file but a socket. link: reads the target of a symbolic link."""
    entry = tarfile.TarInfo(name)
    mode = status.st_mode
    entry.mode, entry.uid, entry.gid = stat.S_IMODE(mode), status.st_uid, status.st_gid
    entry.mtime = status.st_mtime_ns // 1_000_000_000
    if stat.S_ISREG(mode):
        entry.type, entry.size = tarfile.REGTYPE, status.st_size
    elif stat.S_ISDIR(mode):
        entry.type = tarfile.DIRTYPE
    elif stat.S_ISLNK(mode):
        entry.type, entry.linkname = tarfile.SYMTYPE, link()
    elif stat.S_ISFIFO(mode):
        entry.type = tarfile.FIFOTYPE
    else:
        entry.type = tarfile.CHRTYPE if stat.S_ISCHR(mode) else tarfile.BLKTYPE
        entry.devmajor, entry.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    return entry


def make_device(entry: tarfile.TarInfo, path: str, *, dir_fd: int | None = None) -> None:
    """Make the FIFO or device of an entry, for its owner alone until it is dressed."""
    kind = stat.S_IFIFO if entry.isfifo() else stat.S_IFCHR if entry.ischr() else stat.S_IFBLK
    number = 0 if entry.isfifo() else os.makedev(entry.devmajor, entry.devminor)
    os.mknod(path, kind | 0o600, number, dir_fd=dir_fd)


def write_content(fd: int, data: memoryview, offset: int) -> int:
    """Write to a new file at a place; zeros become holes, in steps of 64 KiB.

    Return where the last byte written lies behind, 0 when none was.
    """
    written = 0
    for start, stop in _filled(data, -offset % _HOLE):
        _write_all(fd, data[start:stop], offset + start)
        written = offset + stop
    return written


def _filled(data: memoryview, boundary: int) -> Iterator[tuple[int, int]]:
    """Yield the runs of steps that are not all zeros. boundary: where `data` reaches the first whole one."""
    begun, start, size = -1, 0, len(data)
    while start < size:
        stop = min(boundary if start < boundary else start + _HOLE, size)
        if data[start] or data[start:stop] != _ZEROS[: stop - start]:
            begun = start if begun < 0 else begun
        elif begun >= 0:
            yield begun, start
            begun = -1
        start = stop
    if begun >= 0:
        yield begun, size


def _write_all(fd: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written
