"""Files of a container as tar streams, in both directions, and the whole of it."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator
from typing import TYPE_CHECKING

from runtime.engine.service.request import Body

if TYPE_CHECKING:
    from runtime.engine.service.service import Service


class PathStat(Body):
    """What the header X-Docker-Container-Path-Stat tells, as base64 of its JSON.

    mode: Go's bits (os.FileMode). mtime: RFC 3339. link_target: of a symbolic link, resolved, absolute.
    """

    name: str = ""
    size: int = 0
    mode: int = 0
    mtime: str = ""
    link_target: str = ""


async def stat_path(service: Service, ref: str, path: str) -> PathStat:
    """Look at `path` in a container; a link at its end is not followed.

    NotFoundError for no such container or path.
    """
    raise NotImplementedError


async def get_archive(service: Service, ref: str, path: str) -> tuple[PathStat, AsyncIterator[bytes]]:
    """Return `path` and all below it as a tar, its entries named from the last part of `path` on.

    Close the iterator (aclosing) to stop early. NotFoundError as stat_path; BadParameterError for what is not
    the directory that `path` says by a slash at its end.
    """
    raise NotImplementedError


async def put_archive(
    service: Service,
    ref: str,
    path: str,
    chunks: AsyncIterable[bytes],
    *,
    no_overwrite_dir_non_dir: bool = False,
    copy_uid_gid: bool = False,
) -> None:
    """Unpack a tar (plain, gzip, bzip2 or xz) in the directory `path` of a container.

    no_overwrite_dir_non_dir: refuse to replace a directory by something else, or the other way round.
    copy_uid_gid: all belongs to the container's user then. NotFoundError, BadParameterError for what is no
    directory or no tar, ForbiddenError for a read-only root.
    """
    raise NotImplementedError


async def export(service: Service, ref: str) -> AsyncIterator[bytes]:
    """Return a container's root, without its volumes, as a tar."""
    raise NotImplementedError
