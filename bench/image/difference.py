"""The difference between two directory trees, as a layer directory in overlay form."""

from __future__ import annotations

import filecmp
import os
import shutil
import stat
from pathlib import Path


def difference(lower: Path, upper: Path, layer: Path) -> None:
    """Fill `layer` (made here) so that overlaying it on `lower` gives `upper`.

    A path that only `lower` has becomes a whiteout: a character device with number 0:0. Times are
    not compared. Hard links inside `upper` become copies. Needs root (devices, owners).
    """
    layer.mkdir()
    _copy_attributes(upper, layer)
    _descend(lower, upper, layer)


def _descend(lower: Path, upper: Path, layer: Path) -> None:
    old = {entry.name for entry in os.scandir(lower)} if lower.is_dir() and not lower.is_symlink() else set()
    new = {entry.name for entry in os.scandir(upper)}
    for name in sorted(old - new):
        os.mknod(layer / name, stat.S_IFCHR | 0o600, os.makedev(0, 0))
    for name in sorted(new):
        below = lower / name if name in old else None
        _add(below, upper / name, layer / name)


def _add(lower: Path | None, upper: Path, layer: Path) -> None:
    if not stat.S_ISDIR(upper.lstat().st_mode):
        if lower is None or not _same(lower, upper):
            copy(upper, layer)
        return
    if lower is None or not stat.S_ISDIR(lower.lstat().st_mode):
        copy(upper, layer)
        return
    layer.mkdir()
    _copy_attributes(upper, layer)
    _descend(lower, upper, layer)
    if not any(layer.iterdir()) and _attributes(lower) == _attributes(upper):
        layer.rmdir()


def copy(source: Path, target: Path) -> None:
    """Copy one path with owner, mode, times, links and devices; a directory with everything below it."""
    info = source.lstat()
    if stat.S_ISDIR(info.st_mode):
        target.mkdir()
        for entry in sorted(source.iterdir()):
            copy(entry, target / entry.name)
    elif stat.S_ISLNK(info.st_mode):
        target.symlink_to(source.readlink())
    elif stat.S_ISREG(info.st_mode):
        shutil.copyfile(source, target)
    else:
        os.mknod(target, info.st_mode, info.st_rdev)
    _copy_attributes(source, target)


def _copy_attributes(source: Path, target: Path) -> None:
    info = source.lstat()
    os.chown(target, info.st_uid, info.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(info.st_mode):
        target.chmod(stat.S_IMODE(info.st_mode))
    for name in os.listxattr(source, follow_symlinks=False):
        os.setxattr(target, name, os.getxattr(source, name, follow_symlinks=False), follow_symlinks=False)
    os.utime(target, ns=(info.st_mtime_ns, info.st_mtime_ns), follow_symlinks=False)


def _attributes(path: Path) -> tuple[int, ...]:
    info = path.lstat()
    return (info.st_mode, info.st_uid, info.st_gid, info.st_rdev)


def _same(lower: Path, upper: Path) -> bool:
    if _attributes(lower) != _attributes(upper):
        return False
    if upper.is_symlink():
        return lower.readlink() == upper.readlink()
    if upper.is_file():
        return lower.stat().st_ino == upper.stat().st_ino or filecmp.cmp(lower, upper, shallow=False)
    return True
