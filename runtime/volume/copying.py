"""Copy a tree with owners, modes, times, extended attributes, hard links and devices; links not followed.

A container may change the target meanwhile, so every name is opened in its directory, never by a path.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
from collections.abc import Iterator

_PRIVATE = "trusted.overlay."
_CHUNK = 1 << 24
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC


def copy_tree(source: int, target: int) -> None:
    """Copy a directory's content and attributes to another directory. Raises OSError.

    Both are descriptors. A name that exists already is an error (EEXIST).
    """
    with contextlib.ExitStack() as held:
        _Copy(held).directory(source, target)


def is_empty(directory: int) -> bool:
    """Say whether a directory is empty; ext4's lost+found does not count."""
    with os.scandir(directory) as entries:
        return all(entry.name == "lost+found" for entry in entries)


def clear(directory: int) -> None:
    """Remove a directory's content. Raises OSError."""
    with os.scandir(directory) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_directory in found:
        if is_directory:
            shutil.rmtree(name, dir_fd=directory)
        else:
            os.unlink(name, dir_fd=directory)


class _Copy:
    """One copy; remembers the files that have more names."""

    def __init__(self, held: contextlib.ExitStack) -> None:
        self._held = held
        self._linked: dict[tuple[int, int], int] = {}

    def directory(self, source: int, target: int) -> None:
        """Copy the content, then the attributes, so that the times are set last."""
        with os.scandir(source) as entries:
            names = sorted(entry.name for entry in entries)
        for name in names:
            self._entry(source, target, name)
        _attributes(source, target, os.stat(source))

    def _entry(self, source: int, target: int, name: str) -> None:
        info = os.stat(name, dir_fd=source, follow_symlinks=False)
        key = info.st_dev, info.st_ino
        if stat.S_ISDIR(info.st_mode):
            os.mkdir(name, 0o700, dir_fd=target)
            with _opened(name, _DIRECTORY, source) as old, _opened(name, _DIRECTORY, target) as new:
                self.directory(old, new)
        elif key in self._linked:
            os.link(f"/proc/self/fd/{self._linked[key]}", name, dst_dir_fd=target)
        else:
            self._single(source, target, name, info)
            if info.st_nlink > 1:
                self._remember(key, name, target)

    def _remember(self, key: tuple[int, int], name: str, target: int) -> None:
        fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=target)
        self._held.callback(os.close, fd)
        self._linked[key] = fd

    def _single(self, source: int, target: int, name: str, info: os.stat_result) -> None:
        if stat.S_ISREG(info.st_mode):
            with _opened(name, _OLD, source) as old, _opened(name, _NEW, target) as new:
                _content(old, new)
                _attributes(old, new, info)
            return
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        else:
            os.mknod(name, info.st_mode, info.st_rdev, dir_fd=target)
        os.chown(name, info.st_uid, info.st_gid, dir_fd=target, follow_symlinks=False)
        if not stat.S_ISLNK(info.st_mode):
            # Not by name, which would follow a link that took its place.
            with _opened(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, target) as new:
                os.chmod(f"/proc/self/fd/{new}", stat.S_IMODE(info.st_mode))  # noqa: PTH101
        times = info.st_atime_ns, info.st_mtime_ns
        os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)


@contextlib.contextmanager
def _opened(name: str, flags: int, directory: int) -> Iterator[int]:
    fd = os.open(name, flags, 0o600, dir_fd=directory)
    try:
        yield fd
    finally:
        os.close(fd)


def _content(old: int, new: int) -> None:
    """Copy the bytes, within the kernel if possible, and shared if the file system can."""
    try:
        while os.copy_file_range(old, new, _CHUNK):
            pass
    except OSError as error:
        if error.errno not in (errno.EXDEV, errno.EINVAL, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        while os.sendfile(new, old, None, _CHUNK):
            pass


def _attributes(old: int, new: int, info: os.stat_result) -> None:
    """Copy the attributes. Owner first, since setting it clears set-id bits and capabilities."""
    os.fchown(new, info.st_uid, info.st_gid)
    os.fchmod(new, stat.S_IMODE(info.st_mode))
    for name in os.listxattr(old):
        if not name.startswith(_PRIVATE):
            _set_attribute(new, name, os.getxattr(old, name))
    os.utime(new, ns=(info.st_atime_ns, info.st_mtime_ns))


def _set_attribute(fd: int, name: str, value: bytes) -> None:
    """Set an extended attribute; like docker, ignore file systems without them (NFS, tmpfs)."""
    try:
        os.setxattr(fd, name, value)
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
