"""Walk and hash a directory tree: equal names, metadata and bytes give equal digests."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator

from runtime.image.errors import ImageError, errno_advice
from runtime.image.layers import metadata

_CHUNK = 1 << 20


def walk(root: str) -> Iterator[tuple[str, str, os.stat_result]]:
    """Yield (path below root, full path, lstat) of everything in `root`, sorted, directories first.

    The root itself comes first, with the path "".
    """
    yield "", root, os.lstat(root)
    pending = [("", root)]
    while pending:
        relative, full = pending.pop()
        with os.scandir(full) as entries:
            found = sorted(entries, key=lambda entry: os.fsencode(entry.name))
        below = []
        for entry in found:
            path = f"{relative}/{entry.name}" if relative else entry.name
            status = entry.stat(follow_symlinks=False)
            yield path, entry.path, status
            if stat.S_ISDIR(status.st_mode):
                below.append((path, entry.path))
        pending.extend(reversed(below))


def tree_digest(root: str) -> str:
    """Hash names, types, modes, owners, times, attributes, links and content below `root`.

    Access times, inode numbers and holes do not count. ImageError when something cannot be read.
    """
    total = hashlib.sha256()
    links: dict[tuple[int, int], str] = {}
    try:
        for path, full, status in walk(root):
            total.update(_line(path, full, status, links))
    except OSError as error:
        raise ImageError(f"hash {error.filename or root}: {errno_advice(error)}") from error
    return f"sha256:{total.hexdigest()}"


def _line(path: str, full: str, status: os.stat_result, links: dict[tuple[int, int], str]) -> bytes:
    mode = status.st_mode
    if metadata.is_whiteout(status):  # nothing else of it matters
        return repr([os.fsencode(path), "whiteout"]).encode() + b"\n"
    fields: list[object] = [os.fsencode(path), oct(mode), status.st_uid, status.st_gid, status.st_mtime_ns]
    if stat.S_ISDIR(mode):
        fields.append(metadata.is_opaque(full))
    elif stat.S_ISLNK(mode):
        fields.append(os.fsencode(os.readlink(full)))  # noqa: PTH115 - hot
    elif not stat.S_ISREG(mode):
        fields.append(status.st_rdev)
    elif status.st_nlink > 1 and (first := links.setdefault((status.st_dev, status.st_ino), path)) != path:
        fields.append(("link", os.fsencode(first)))
    else:
        fields.append((status.st_size, file_digest(full)))
    fields.append(list(metadata.read_xattrs(full).items()))
    return repr(fields).encode() + b"\n"


def file_digest(path: str) -> str:
    """Hash a file's content."""
    digest = hashlib.sha256()
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while data := os.read(fd, _CHUNK):
            digest.update(data)
    finally:
        os.close(fd)
    return f"sha256:{digest.hexdigest()}"
