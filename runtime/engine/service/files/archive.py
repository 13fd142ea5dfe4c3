"""Copy a container's files in and out as tar streams, and export all of them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import posixpath
import stat
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterator
from typing import TYPE_CHECKING

from runtime.docker_syntax.times import text_of
from runtime.engine.errors import BadParameterError, EngineError, ForbiddenError, NotFoundError
from runtime.engine.paths_in_root import clean, mount_id, open_in, resolve
from runtime.engine.service.files.rootview import bare_root_of, layers_of, root_of
from runtime.engine.service.files.tarin import Owner, unpack_into
from runtime.engine.service.files.tarout import tar_of
from runtime.engine.service.model.piping import drain, feed
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import Body
from runtime.engine.users import resolve_user
from runtime.spawn.errnos import errno_text

if TYPE_CHECKING:
    from runtime.engine.service.service import Service

_KERNEL = ("/proc", "/sys", "/dev")
_GO_KINDS = {
    stat.S_IFDIR: 1 << 31,
    stat.S_IFLNK: 1 << 27,
    stat.S_IFBLK: 1 << 26,
    stat.S_IFIFO: 1 << 25,
    stat.S_IFSOCK: 1 << 24,
    stat.S_IFCHR: 1 << 26 | 1 << 21,
}
_GO_BITS = ((stat.S_ISUID, 1 << 23), (stat.S_ISGID, 1 << 22), (stat.S_ISVTX, 1 << 20))


class PathStat(Body, frozen=True, rename="camel"):
    """The header X-Docker-Container-Path-Stat, which is the base64 of its JSON.

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
    record = service.containers.get(ref)
    async with root_of(service, record, writable=False) as root:
        return await asyncio.to_thread(_stat, root, path, ref)


async def get_archive(service: Service, ref: str, path: str) -> tuple[PathStat, AsyncIterator[bytes]]:
    """Return `path` and everything below it as a tar; names begin with the last part of `path`.

    Close the iterator (aclosing) to stop early. NotFoundError as stat_path; BadParameterError for what is not
    the directory that `path` says by a slash at its end.
    """
    record = service.containers.get(ref)
    async with contextlib.AsyncExitStack() as opening:
        root = await opening.enter_async_context(root_of(service, record, writable=False))
        found = await asyncio.to_thread(_stat, root, path, ref)
        is_directory = bool(found.mode & _GO_KINDS[stat.S_IFDIR])
        directory, name = await asyncio.to_thread(_open_start, root, path, ref, is_directory)
        opening.callback(os.close, directory)
        at_root = os.path.samestat(os.fstat(directory), os.fstat(root))
        skip = _kernel_mounts(root) if at_root else None
        shown = posixpath.basename(clean(path).rstrip("/")) or "/"
        chunks = _Chunks(lambda: tar_of(directory, name, shown, skip), opening.pop_all())
    service.containers.publish(record, "archive-path")
    return found, chunks


async def put_archive(
    service: Service,
    ref: str,
    path: str,
    chunks: AsyncIterable[bytes],
    *,
    no_overwrite_dir_non_dir: bool = False,
    copy_uid_gid: bool = False,
) -> None:
    """Unpack a tar (plain, gzip, bzip2, xz or zstd) in the directory `path` of a container.

    no_overwrite_dir_non_dir: refuse to replace a directory by something else, or the other way round.
    copy_uid_gid: all belongs to the container's user then. NotFoundError, BadParameterError for a path that
    is not a directory or data that is not a tar, ForbiddenError for a read-only root.
    """
    record = service.containers.get(ref)
    owner = None
    if copy_uid_gid and record.config.user:
        user = resolve_user(record.config.user, tuple(layers_of(service, record)), (), None)
        owner = Owner(user.uid, user.gid)
    async with root_of(service, record, writable=True) as root:
        target = await asyncio.to_thread(_target, root, path, ref, record)
        await feed(
            chunks,
            lambda source: unpack_into(
                root, target, source, keep_kinds=no_overwrite_dir_non_dir, owner=owner
            ),
        )
    service.containers.publish(record, "extract-to-dir")


async def export(service: Service, ref: str) -> AsyncIterator[bytes]:
    """Return a container's root, without its volumes, as a tar."""
    record = service.containers.get(ref)
    async with contextlib.AsyncExitStack() as opening:
        root = await opening.enter_async_context(bare_root_of(service, record))
        chunks = _Chunks(lambda: tar_of(root, None, ""), opening.pop_all())
    service.containers.publish(record, "export")
    return chunks


class _Chunks:
    """A blocking iterator, and what must stay open until its end."""

    def __init__(self, make: Callable[[], Iterator[bytes]], held: contextlib.AsyncExitStack) -> None:
        self._chunks, self._held = drain(make), held

    def __aiter__(self) -> _Chunks:
        return self

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._chunks)
        except StopAsyncIteration:
            await self.aclose()
            raise
        except OSError as error:
            await self.aclose()
            raise EngineError(f"read a container's files: {error.filename}: {errno_text(error)}") from error

    async def aclose(self) -> None:
        """Release the container's root. Idempotent."""
        try:
            await self._chunks.aclose()  # type: ignore[attr-defined]
        finally:
            await self._held.aclose()


def _stat(root: int, path: str, ref: str) -> PathStat:
    cleaned = clean(path)
    with _worded(path, ref):
        fd = open_in(root, cleaned, os.O_PATH | os.O_NOFOLLOW)
        try:
            status = os.fstat(fd)
        finally:
            os.close(fd)
    return PathStat(
        name=posixpath.basename(cleaned.rstrip("/")) or "/",
        size=status.st_size,
        mode=_go_mode(status.st_mode),
        mtime=text_of(status.st_mtime_ns),
        link_target=resolve(root, cleaned) if stat.S_ISLNK(status.st_mode) else "",
    )


def _go_mode(mode: int) -> int:
    bits = sum(go for bit, go in _GO_BITS if mode & bit)
    return (mode & 0o777) | _GO_KINDS.get(stat.S_IFMT(mode), 0) | bits


def _open_start(root: int, path: str, ref: str, is_directory: bool) -> tuple[int, str | None]:
    """Return the directory to read, and the file in it, or None for all of it."""
    parent, _, name = clean(path).rpartition("/")
    with _worded(path, ref):
        if is_directory:
            return open_in(root, clean(path), os.O_RDONLY | os.O_DIRECTORY), None
        return open_in(root, parent or "/", os.O_RDONLY | os.O_DIRECTORY), name


def _target(root: int, path: str, ref: str, record: ContainerRecord) -> str:
    """Return the path of the directory to unpack in, which exists and is writable."""
    cleaned = clean(path)
    with _worded(path, ref):
        fd = open_in(root, cleaned, os.O_PATH)
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            raise BadParameterError("extraction point is not a directory")
        on_root = mount_id(fd) == mount_id(root)
        read_only = bool(os.statvfs(f"/proc/self/fd/{fd}").f_flag & os.ST_RDONLY)
    finally:
        os.close(fd)
    if on_root and (read_only or record.host_config.readonly_rootfs):
        raise ForbiddenError("container rootfs is marked read-only")
    if read_only:
        raise ForbiddenError("mounted volume is marked read-only")
    return cleaned


def _kernel_mounts(root: int) -> Callable[[str, os.stat_result], bool]:
    """Leave out what the kernel shows under these names; docker's view has nothing mounted there either."""
    device = os.fstat(root).st_dev
    return lambda path, status: path in _KERNEL and status.st_dev != device


@contextlib.contextmanager
def _worded(path: str, ref: str) -> Iterator[None]:
    """Word a failure to open a path as docker does."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.ENOENT:
            raise NotFoundError(f"Could not find the file {path} in container {ref}") from error
        if error.errno in (errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG):
            raise BadParameterError(
                f"open {path} in container {ref}: {errno_text(error)}; give its path without links"
            ) from error
        raise EngineError(f"open {path} in container {ref}: {errno_text(error)}") from error
