"""Unpack a tar into a directory of a container; the kernel resolves all names beneath the root."""

from __future__ import annotations

import contextlib
import errno
import os
import posixpath
import stat
import tarfile
from collections.abc import Iterator
from io import BufferedReader
from typing import BinaryIO, NamedTuple, cast

from runtime.engine.errors import BadParameterError, EngineError
from runtime.engine.paths_in_root import make_directories, mount_id, open_in
from runtime.image.layers.metadata import PAX_XATTR, is_content
from runtime.image.layers.tar_entries import make_device, write_content
from runtime.spawn.errnos import errno_text

_CHUNK = 1 << 20
_BUFFER = 1 << 16
"""tarfile copies what is left of it with each header and each small file."""
_ZSTD = b"\x28\xb5\x2f\xfd"


class Owner(NamedTuple):
    """The owner of all that is unpacked."""

    uid: int
    gid: int


def unpack_into(
    root_fd: int, target: str, source: BinaryIO, *, keep_kinds: bool = False, owner: Owner | None = None
) -> None:
    """Unpack `source` (plain, gzip, bzip2, xz or zstd) in the directory `target` of a container. Blocks.

    keep_kinds: refuse to replace a directory by something else, or the other way round. As in docker, empty
    input is an empty archive. Raises EngineError naming the entry, BadParameterError for data that is not a
    tar.
    """
    if not _peek(source):
        return
    unpacker = _Unpacker(root_fd, target, keep_kinds=keep_kinds, owner=owner)
    entry: tarfile.TarInfo | None = None
    try:
        with contextlib.closing(unpacker), _open(source) as tar:
            while (entry := tar.next()) is not None:
                vars(tar)["members"].clear()  # tarfile keeps all of them for random access
                unpacker.add(tar, entry)
            unpacker.finish()
    except OSError as error:
        name = entry.name if entry else "archive"
        raise EngineError(f"unpack {name!r} in {target}: {errno_text(error)}") from error
    except (tarfile.TarError, EOFError, ValueError, OverflowError, LookupError) as error:
        raise BadParameterError(f"unpack in {target}: this is not a complete tar archive: {error}") from error
    while source.read(_CHUNK):  # what follows the end mark
        pass


def _open(source: BinaryIO) -> tarfile.TarFile:
    if _peek(source) == _ZSTD:
        import zstandard

        source = cast(BinaryIO, zstandard.ZstdDecompressor().stream_reader(source))
    return tarfile.open(
        fileobj=source, mode="r|*", bufsize=_BUFFER, encoding="utf-8", errors="surrogateescape"
    )


def _peek(source: BinaryIO) -> bytes:
    start: bytes = cast(BufferedReader, source).peek(4)[:4]
    return start


class _Unpacker:
    def __init__(self, root_fd: int, target: str, *, keep_kinds: bool, owner: Owner | None) -> None:
        self._root, self._target, self._keep_kinds, self._owner = root_fd, target, keep_kinds, owner
        self._parent, self._parent_fd = "", -1
        self._times: dict[str, int] = {}

    def close(self) -> None:
        """Close the last directory."""
        if self._parent_fd >= 0:
            os.close(self._parent_fd)
            self._parent_fd = -1

    def add(self, tar: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        """Unpack one entry."""
        path = _below(entry.name)
        if not path:  # the directory itself, which is there
            return
        parent, _, name = path.rpartition("/")
        where = self._directory(parent)
        if entry.isdir():
            self._make_directory(where, name, entry)
            self._times[path] = int(entry.mtime)
            return
        self._make_room(where, name, directory=False)
        if entry.isreg():
            self._file(where, name, tar, entry)
        elif entry.islnk():
            self._link(where, name, entry)
        elif entry.issym():
            os.symlink(entry.linkname, name, dir_fd=where)
            self._dress(where, name, entry)
        elif entry.ischr() or entry.isblk() or entry.isfifo():
            make_device(entry, name, dir_fd=where)
            self._dress(where, name, entry)
        else:
            raise BadParameterError(f"unpack {entry.name!r}: a tar entry of unknown type {entry.type!r}")

    def finish(self) -> None:
        """Set the directories' times, which later entries have changed."""
        for path, mtime in reversed(self._times.items()):
            with contextlib.suppress(OSError):  # it may be gone again
                fd = open_in(self._root, f"{self._target}/{path}", os.O_RDONLY | os.O_DIRECTORY)
                try:
                    os.utime(fd, (mtime, mtime))
                finally:
                    os.close(fd)

    # ---- kinds of entries ---------------------------------------------------------------------------------

    def _directory(self, parent: str) -> int:
        """Return a descriptor of a directory of the archive, made if missing."""
        if self._parent_fd < 0 or parent != self._parent:
            self.close()
            path = f"{self._target}/{parent}"
            try:
                self._parent_fd = open_in(self._root, path, os.O_PATH | os.O_DIRECTORY)
            except FileNotFoundError:
                make_directories(self._root, path)
                self._parent_fd = open_in(self._root, path, os.O_PATH | os.O_DIRECTORY)
            self._parent = parent
        return self._parent_fd

    def _make_room(self, where: int, name: str, *, directory: bool) -> bool:
        """Remove what an entry replaces; say whether a directory may stay."""
        try:
            status = os.stat(name, dir_fd=where, follow_symlinks=False)
        except FileNotFoundError:
            return False
        is_directory = stat.S_ISDIR(status.st_mode)
        if is_directory and directory:
            return True
        if self._keep_kinds and is_directory != directory:
            kinds = ("non-directory", "directory")
            raise BadParameterError(
                f'cannot overwrite {kinds[is_directory]} "{name}" with {kinds[directory]} "{self._target}"'
            )
        _require_no_mount(where, name)
        if is_directory:
            _remove_tree(where, name)
        else:
            os.unlink(name, dir_fd=where)
        return False

    def _make_directory(self, where: int, name: str, entry: tarfile.TarInfo) -> None:
        if not self._make_room(where, name, directory=True):
            os.mkdir(name, 0o700, dir_fd=where)
        self._dress(where, name, entry)

    def _file(self, where: int, name: str, tar: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        fd = os.open(name, flags, 0o600, dir_fd=where)
        try:
            at = 0
            for data in _content(tar, entry):
                write_content(fd, memoryview(data), at)
                at += len(data)
            os.ftruncate(fd, entry.size)
            self._dress_open(fd, entry)
        finally:
            os.close(fd)

    def _link(self, where: int, name: str, entry: tarfile.TarInfo) -> None:
        parent, _, base = _below(entry.linkname).rpartition("/")
        at = open_in(self._root, f"{self._target}/{parent}", os.O_PATH | os.O_DIRECTORY)
        try:
            os.link(base, name, src_dir_fd=at, dst_dir_fd=where, follow_symlinks=False)
        finally:
            os.close(at)

    # ---- metadata -----------------------------------------------------------------------------------------

    def _dress(self, where: int, name: str, entry: tarfile.TarInfo) -> None:
        """Set owner, mode and times of what was just made, without following a link that replaced it."""
        uid, gid = self._ids(entry)
        os.chown(name, uid, gid, dir_fd=where, follow_symlinks=False)
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=where)
        try:
            if not stat.S_ISLNK(os.fstat(fd).st_mode):
                os.chmod(f"/proc/self/fd/{fd}", entry.mode & 0o7777)  # noqa: PTH101 - by descriptor
        finally:
            os.close(fd)
        os.utime(name, (int(entry.mtime), int(entry.mtime)), dir_fd=where, follow_symlinks=False)

    def _dress_open(self, fd: int, entry: tarfile.TarInfo) -> None:
        os.fchown(fd, *self._ids(entry))
        os.fchmod(fd, entry.mode & 0o7777)  # after the owner, which takes setuid away
        for key, value in entry.pax_headers.items():
            name = key.removeprefix(PAX_XATTR)
            if name != key and is_content(name):
                with contextlib.suppress(OSError):  # not every file system has them, as docker sees it
                    os.setxattr(fd, name, value.encode("utf-8", "surrogateescape"))
        os.utime(fd, (int(entry.mtime), int(entry.mtime)))

    def _ids(self, entry: tarfile.TarInfo) -> tuple[int, int]:
        return self._owner or (entry.uid, entry.gid)


def _below(name: str) -> str:
    """Return an entry's name without `..`. Raises BadParameterError."""
    path = posixpath.normpath(name.lstrip("/")) if name.strip("/") else "."
    if path == ".." or path.startswith("../"):
        raise BadParameterError(f"unpack {name!r}: this name leads out of the archive's directory")
    return "" if path == "." else path


def _content(tar: tarfile.TarFile, entry: tarfile.TarInfo) -> Iterator[bytes]:
    """Yield the content of a file. Raises tarfile's ReadError where the archive is cut off."""
    # At its place in the source, without the copies that tarfile makes for random access.
    source = tar.extractfile(entry) if entry.issparse() else tar.fileobj
    assert source is not None
    left = entry.size
    while left:
        data = source.read(min(_CHUNK, left))
        if not data:
            raise tarfile.ReadError("unexpected end of data")
        yield data
        left -= len(data)


def _require_no_mount(where: int, name: str) -> None:
    """Raise EBUSY for a mount point.

    From outside its mount namespace the kernel would remove it, and the mount with it.
    """
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=where)
    try:
        if mount_id(fd) != mount_id(where):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), name)
    finally:
        os.close(fd)


def _remove_tree(where: int, name: str) -> None:
    """Remove a directory and all in it, following no link and entering no mount. Raises OSError."""
    _require_no_mount(where, name)
    fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=where)
    try:
        for one in os.listdir(fd):  # noqa: PTH208 - by descriptor
            status = os.stat(one, dir_fd=fd, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                _remove_tree(fd, one)
            else:
                _require_no_mount(fd, one)
                os.unlink(one, dir_fd=fd)
    finally:
        os.close(fd)
    os.rmdir(name, dir_fd=where)
