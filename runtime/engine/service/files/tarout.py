"""Pack a container's files into a tar stream, by descriptors only: no path follows a symbolic link."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import stat
import tarfile
from collections.abc import Callable, Generator, Iterator

from runtime.engine.paths_in_root import again, link_of, open_in
from runtime.image.layers.metadata import PAX_XATTR
from runtime.image.layers.tar_entries import entry_of

log = logging.getLogger(__name__)

_CHUNK = 1 << 20
_BATCH = 1 << 18
_BLOCK = 512
_ZEROS = bytes(_CHUNK)
_CAPABILITY = "security.capability"
_GONE = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ESTALE)
"""Errors of opening a file that was removed or replaced: the container runs while it is read."""

Skip = Callable[[str, os.stat_result], bool]
"""From a path below the start: whether the content of that directory is left out."""


def tar_of(directory_fd: int, name: str | None, entry_name: str, skip: Skip | None = None) -> Iterator[bytes]:
    """Yield a tar of a directory and all below, or with `name` of that file in it.

    Blocks; close it at the end.

    entry_name: of the first entry; the others are below it. Without it the directory itself has none. Raises
    OSError when the first cannot be read; what disappears meanwhile is left out, and a file that becomes
    shorter is filled up with zeros.
    """
    writer = _Writer()
    pending = [("", entry_name)]
    if name is not None:
        pending = []
        yield from writer.leaf(directory_fd, name, entry_name)
    elif entry_name:
        writer.head(os.fstat(directory_fd), entry_name, directory_fd)
    while pending:
        path, shown = pending.pop()
        fd = _open_directory(directory_fd, path)
        if fd < 0:
            continue
        below = []
        try:
            for one in sorted(os.listdir(fd)):  # noqa: PTH208 - by descriptor
                its_path, its_name = f"{path}/{one}", f"{shown.rstrip('/')}/{one}" if shown else one
                status = yield from writer.leaf(fd, one, its_name)
                if (
                    status is not None
                    and stat.S_ISDIR(status.st_mode)
                    and not (skip and skip(its_path, status))
                ):
                    below.append((its_path, its_name))
        finally:
            os.close(fd)
        pending.extend(reversed(below))
    yield writer.rest() + bytes(2 * _BLOCK)


def _open_directory(start_fd: int, path: str) -> int:
    """Open a directory below the start; -1 when it is not one any more."""
    try:
        return open_in(start_fd, path, os.O_RDONLY | os.O_DIRECTORY, strict=True)
    except OSError as error:
        if not path or error.errno not in _GONE:
            raise
        return -1


class _Writer:
    """Headers and small files gathered into pieces of some size."""

    def __init__(self) -> None:
        self._ready = bytearray()
        self._seen: dict[tuple[int, int], str] = {}

    def rest(self) -> bytes:
        """Return what is gathered."""
        ready, self._ready = bytes(self._ready), bytearray()
        return ready

    def leaf(self, directory_fd: int, name: str, shown: str) -> Generator[bytes, None, os.stat_result | None]:
        """Yield the entry of a file or directory; return its status, None if it is gone."""
        try:
            fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory_fd)
        except OSError as error:
            if error.errno not in _GONE:
                raise
            return None
        try:
            status = os.fstat(fd)
            if stat.S_ISREG(status.st_mode):
                yield from self._file(fd, status, shown)
            elif not stat.S_ISSOCK(status.st_mode):  # a tar cannot hold one
                self.head(status, shown, fd)
        finally:
            os.close(fd)
        if len(self._ready) >= _BATCH:
            yield self.rest()
        return status

    def head(self, status: os.stat_result, shown: str, fd: int, size: int = 0) -> tarfile.TarInfo:
        """Gather the header of an entry; `fd` refers to it."""
        entry = _entry(status, shown, fd)
        entry.size = size
        if not stat.S_ISDIR(status.st_mode) and status.st_nlink > 1:
            first = self._seen.setdefault((status.st_dev, status.st_ino), shown)
            if first != shown:
                entry.type, entry.linkname, entry.size = tarfile.LNKTYPE, first, 0
        self._ready += entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
        return entry

    def _file(self, fd: int, status: os.stat_result, shown: str) -> Iterator[bytes]:
        size = self.head(status, shown, fd, status.st_size).size
        if not size:
            return
        content = again(fd, os.O_RDONLY)
        try:
            sparse = status.st_blocks * _BLOCK < size
            for piece in _content(content, size, sparse=sparse):
                if len(piece) < _BATCH:
                    self._ready += piece
                else:
                    yield self.rest()
                    yield piece
        finally:
            os.close(content)
        self._ready += bytes(-size % _BLOCK)


def _entry(status: os.stat_result, shown: str, fd: int) -> tarfile.TarInfo:
    entry = entry_of(shown, status, lambda: link_of(fd))
    capability = _capability(fd) if entry.isreg() else b""
    if capability:
        entry.pax_headers = {f"{PAX_XATTR}{_CAPABILITY}": capability.decode("utf-8", "surrogateescape")}
    return entry


def _capability(fd: int) -> bytes:
    """The only extended attribute that docker copies."""
    with contextlib.suppress(OSError):
        return os.getxattr(f"/proc/self/fd/{fd}", _CAPABILITY)
    return b""


def _content(fd: int, size: int, *, sparse: bool) -> Iterator[bytes]:
    """Yield `size` bytes of a file; holes are not read, and missing bytes at the end are zeros."""
    at = 0
    while at < size:
        hole = _next_data(fd, at, size) - at if sparse else 0
        if hole:
            data = _ZEROS[: min(hole, _CHUNK)]
        else:
            data = os.pread(fd, min(_CHUNK, size - at), at)
            if not data:
                log.info("a file became shorter by %d bytes while it was copied", size - at)
                data = _ZEROS[: min(size - at, _CHUNK)]
        at += len(data)
        yield data


def _next_data(fd: int, at: int, size: int) -> int:
    try:
        return min(os.lseek(fd, at, os.SEEK_DATA), size)
    except OSError as error:
        return size if error.errno == errno.ENXIO else at
