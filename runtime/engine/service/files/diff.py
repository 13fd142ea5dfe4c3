"""`docker diff`: the changes of a container against its image."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.engine.errors import EngineError
from runtime.engine.paths_in_root import open_in
from runtime.engine.service.images.snapshot import leftovers
from runtime.engine.service.model.request import Body
from runtime.image.layers.layer_view import LayerView, ViewNode
from runtime.image.layers.metadata import OPAQUE_XATTR, is_whiteout
from runtime.spawn.errnos import errno_text

if TYPE_CHECKING:
    from runtime.engine.service.service import Service

MODIFIED, ADDED, DELETED = 0, 1, 2

Skip = Callable[[str, os.stat_result], bool]


class Change(Body, frozen=True, kw_only=True):
    """One path that differs from the image's. kind: 0 modified, 1 added, 2 deleted."""

    path: str
    kind: int


async def diff(service: Service, ref: str) -> list[Change]:
    """Return a container's changes, sorted by path. Mount points that every container has are left out.

    A directory in which something has changed is modified itself.
    """
    record = service.containers.get(ref)
    upper = service.containers.directory(record.id) / "layer" / "u"
    layers = service.containers.layers(record.id)
    try:
        return await asyncio.to_thread(_changes, upper, LayerView(layers))
    except OSError as error:
        raise EngineError(f"compare container {record.id} with its image: {errno_text(error)}") from error


def _changes(upper: Path, below: LayerView) -> list[Change]:
    try:
        top = os.open(upper, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:  # it was never started
        return []
    try:
        kinds = dict(_walk(top, below, leftovers(upper, below)))
    finally:
        os.close(top)
    for path in list(kinds):
        while (path := path.rpartition("/")[0]) and path not in kinds:
            kinds[path] = MODIFIED
    return [Change(path=path, kind=kind) for path, kind in sorted(kinds.items())]


def _walk(top: int, below: LayerView, skip: Skip) -> Iterator[tuple[str, int]]:
    """Yield what differs; directories only if they differ themselves."""
    pending: list[tuple[str, ViewNode | None]] = [("", below.find(""))]
    while pending:
        path, lower = pending.pop()
        nodes = below.children(lower) if lower is not None and lower.is_directory else ()
        before = {one.path.rpartition("/")[2]: one for one in nodes}
        listed = _list(top, path)
        if listed is None:
            continue
        here, opaque = listed
        for name, status in here.items():
            its_path, node = f"{path}/{name}", before.get(name)
            if skip(its_path[1:], status):
                continue
            kind = _kind(status, node)
            if kind is not None:
                yield its_path, kind
            if stat.S_ISDIR(status.st_mode):
                pending.append((its_path, node))
        if opaque:  # it hides what was there; what is there again is listed above
            yield from ((f"{path}/{name}", DELETED) for name in before.keys() - here.keys())


def _list(top: int, path: str) -> tuple[dict[str, os.stat_result], bool] | None:
    """Return a directory's entries, and whether it hides the layers below; None if it is gone.

    A running container may replace anything by a link to the host at any time.
    """
    try:
        fd = open_in(top, path, os.O_RDONLY | os.O_DIRECTORY, strict=True)
    except OSError:
        return None
    try:
        found = {}
        for name in os.listdir(fd):  # noqa: PTH208 - by descriptor
            try:
                found[name] = os.stat(name, dir_fd=fd, follow_symlinks=False)
            except FileNotFoundError:
                continue
        return found, _is_opaque(fd)
    finally:
        os.close(fd)


def _is_opaque(fd: int) -> bool:
    try:
        return os.getxattr(fd, OPAQUE_XATTR) == b"y"
    except OSError:
        return False


def _kind(status: os.stat_result, before: ViewNode | None) -> int | None:
    if is_whiteout(status):
        return DELETED if before is not None else None
    if before is None:
        return ADDED
    if stat.S_ISDIR(status.st_mode) and before.is_directory:
        same = all(
            getattr(status, field) == getattr(before.status, field)
            for field in ("st_mode", "st_uid", "st_gid", "st_mtime_ns")
        )
        return None if same else MODIFIED
    return MODIFIED
