"""Merge unpacked layers into a plain directory, as overlayfs shows them, or into one layer."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Sequence
from pathlib import Path

from runtime.image.errors import ImageError, errno_advice
from runtime.image.layers import metadata
from runtime.image.layers.tree import walk


def flatten(layers: Sequence[Path], target: Path) -> None:
    """Merge `layers` (overlay form, lowest first) into the new directory `target`; or leave nothing."""
    _merge(layers, target, marks=False)


def squash(layers: Sequence[Path], target: Path) -> None:
    """Like flatten(), but into overlay form: whiteouts and opaque marks are kept."""
    _merge(layers, target, marks=True)


def _merge(layers: Sequence[Path], target: Path, *, marks: bool) -> None:
    try:
        target.mkdir(parents=True)
    except OSError as error:
        raise ImageError(
            f"make {target}: {errno_advice(error)}; choose a directory that does not exist"
        ) from error
    try:
        for layer in layers:
            _add_layer(str(layer), str(target), marks=marks)
    except OSError as error:
        shutil.rmtree(target, ignore_errors=True)
        raise ImageError(f"flatten to {target}: {error.filename}: {errno_advice(error)}") from error


def _add_layer(layer: str, target: str, *, marks: bool) -> None:
    links: dict[int, str] = {}
    directories = []
    for path, full, status in walk(layer):
        where = f"{target}/{path}" if path else target
        if stat.S_ISDIR(status.st_mode):
            _directory(full, where, marks=marks)
            directories.append((full, where, status))
            continue
        _clear(where)
        if metadata.is_whiteout(status):
            if marks:
                os.mknod(where, stat.S_IFCHR, 0)
            continue
        first = links.setdefault(status.st_ino, where) if status.st_nlink > 1 else where
        if first != where:
            os.link(first, where, follow_symlinks=False)
            continue
        _leaf(full, where, status)
        _copy_metadata(full, where, status)
    for full, where, status in reversed(directories):
        _copy_metadata(full, where, status)


def _directory(full: str, where: str, *, marks: bool) -> None:
    hides = metadata.is_opaque(full) or (os.path.lexists(where) and not _is_directory(where))
    if hides:
        _clear(where)
    if not os.path.lexists(where):
        os.mkdir(where, 0o700)  # noqa: PTH102 - hot
    if hides and marks:
        os.setxattr(where, metadata.OPAQUE_XATTR, b"y")


def _is_directory(where: str) -> bool:
    return stat.S_ISDIR(os.lstat(where).st_mode)


def _clear(where: str) -> None:
    if not os.path.lexists(where):
        return
    if _is_directory(where):
        shutil.rmtree(where)
    else:
        os.unlink(where)  # noqa: PTH108 - hot


def _leaf(full: str, where: str, status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        shutil.copyfile(full, where, follow_symlinks=False)
    elif stat.S_ISLNK(status.st_mode):
        os.symlink(os.readlink(full), where)  # noqa: PTH115, PTH211 - hot
    else:
        os.mknod(where, status.st_mode, status.st_rdev)


def _copy_metadata(full: str, where: str, status: os.stat_result) -> None:
    os.chown(where, status.st_uid, status.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(status.st_mode):
        os.chmod(where, stat.S_IMODE(status.st_mode))  # noqa: PTH101 - hot
    for name, value in metadata.read_xattrs(full).items():
        os.setxattr(where, name, value, follow_symlinks=False)
    os.utime(where, ns=(status.st_mtime_ns, status.st_mtime_ns), follow_symlinks=False)
