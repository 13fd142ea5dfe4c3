"""A layer with mount points that images lack, made once for all containers over the same layers."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator, Sequence

from runtime.engine.directories import Directories
from runtime.engine.paths_in_root import make_behind_link
from runtime.spawn.overlay import make_overlay

FILES = ("etc/hosts", "etc/hostname", "etc/resolv.conf")
DIRECTORIES = ("dev", "proc", "sys")
"""Mount points of every container of a daemon, whatever its image has."""

_MOST_LAYERS = 499
"""The kernel takes 500 below an overlay."""


def add_targets(layers: tuple[str, ...], directories: Directories) -> tuple[str, ...]:
    """Return `layers` and above them, where they lack some of these mount points, a directory with them.

    The kernel makes it, as the upper one of an overlay, so that parent directories have the owner, mode and
    attributes that they have in the layers. A parent that is not a directory is left alone: the start reports
    it. A file behind a link that leads nowhere is made where it points to.
    """
    if len(layers) > _MOST_LAYERS - 1:
        return layers
    home, upper, work = directories.make()
    try:
        root = make_overlay(layers, upper, work)
        try:
            for path in DIRECTORIES:
                with _opened(root, (path,)):
                    pass
            for path in FILES:
                _make_file(root, path)
        finally:
            os.close(root)
        if os.listdir(upper):  # noqa: PTH208
            return (*layers, upper)
    except BaseException:
        directories.remove(home)
        raise
    directories.remove(home)
    return layers


def _make_file(root: int, path: str) -> None:
    *parents, name = path.split("/")
    with _opened(root, parents) as parent:
        if parent < 0:
            return
        before = os.fstat(parent)
        try:
            os.mknod(name, stat.S_IFREG | 0o644, dir_fd=parent)
        except FileExistsError:
            make_behind_link(root, path, directory=False)
        else:
            os.utime(f"/proc/self/fd/{parent}", ns=(before.st_atime_ns, before.st_mtime_ns))


@contextlib.contextmanager
def _opened(root: int, parts: Sequence[str]) -> Iterator[int]:
    """Yield a descriptor of a directory, made if missing; -1 where something else is in the way."""
    fd = os.dup(root)
    try:
        for part in parts:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=fd)
            try:
                below = os.open(part, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
            except NotADirectoryError:
                yield -1
                return
            os.close(fd)
            fd = below
        yield fd
    finally:
        os.close(fd)
