"""Convert files to tar entries and back: shared by layers (pack, unpack) and copies (tarout, tarin)."""

from __future__ import annotations

import os
import stat
import tarfile
from collections.abc import Callable, Iterator

_HOLE = 1 << 16
_ZEROS = memoryview(bytes(_HOLE))


def entry_of(name: str, status: os.stat_result, link: Callable[[], str]) -> tarfile.TarInfo:
    """Return the entry of any file except a socket. link: reads a symbolic link's target."""
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
    """Create the FIFO or device of an entry, with mode 0600 until its metadata is set."""
    kind = stat.S_IFIFO if entry.isfifo() else stat.S_IFCHR if entry.ischr() else stat.S_IFBLK
    number = 0 if entry.isfifo() else os.makedev(entry.devmajor, entry.devminor)
    os.mknod(path, kind | 0o600, number, dir_fd=dir_fd)


def write_content(fd: int, data: memoryview, offset: int) -> int:
    """Write to a new file at `offset`; zeros become holes, in steps of 64 KiB.

    Return the end of the last bytes written, 0 if all became holes.
    """
    written = 0
    for start, stop in _filled(data, -offset % _HOLE):
        _write_all(fd, data[start:stop], offset + start)
        written = offset + stop
    return written


def _filled(data: memoryview, boundary: int) -> Iterator[tuple[int, int]]:
    """Yield the runs of steps that are not all zeros. boundary: where the first whole step begins."""
    run_start, start, size = -1, 0, len(data)
    while start < size:
        stop = min(boundary if start < boundary else start + _HOLE, size)
        if data[start] or data[start:stop] != _ZEROS[: stop - start]:
            run_start = start if run_start < 0 else run_start
        elif run_start >= 0:
            yield run_start, start
            run_start = -1
        start = stop
    if run_start >= 0:
        yield run_start, size


def _write_all(fd: int, data: memoryview, offset: int) -> None:
    while data:
        written = os.pwrite(fd, data, offset)
        data, offset = data[written:], offset + written
