"""File helpers of the store: scratch directories, atomic and durable writes, locks and leases."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import itertools
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

from runtime.image.errors import ImageError, errno_advice
from runtime.spawn.durable import sync_path
from runtime.spawn.owner import Owner

_EARLY = 4 << 20
_numbers = itertools.count(1)


class LockTimeoutError(ImageError):
    """Another process held the store's lock for too long."""


@functools.cache
def boot_id() -> str:
    """Identify this boot: files written before a reboot may not have reached the disk."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def write_atomically(target: Path, data: bytes, scratch: Path) -> None:
    """Write `data` to `target` such that readers, and a crash, see the old content or the new."""
    temporary = scratch / f"file-{next(_numbers)}"
    with temporary.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
    sync_path(target.parent)


class EarlyWriter:
    """Writes a long file out while it grows, so that the final fsync is short."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = self._flushed = 0

    def write(self, data: bytes, /) -> int:
        """Write all of `data`."""
        self._file.write(data)
        self._size += len(data)
        if self._size - self._flushed >= _EARLY:
            self._file.flush()
            # The kernel writes dirty pages and drops clean ones; a blob is not read again soon.
            os.posix_fadvise(
                self._file.fileno(), self._flushed, self._size - self._flushed, os.POSIX_FADV_DONTNEED
            )
            self._flushed = self._size
        return len(data)


@contextlib.contextmanager
def scratch_directory(parent: Path) -> Iterator[Path]:
    """Yield a private directory below `parent`, named after this process; it is removed afterwards."""
    path = parent / f"{Owner.current()}.{next(_numbers)}"
    try:
        path.mkdir(mode=0o700, parents=True)
    except OSError as error:
        raise ImageError(f"make {path}: {errno_advice(error)}") from error
    try:
        yield path
    finally:
        remove_tree(path)


def sweep_scratch(parent: Path, salvage: Callable[[Path], None] | None = None) -> tuple[Path, ...]:
    """Remove dead processes' scratch directories, after `salvage` has seen each; return them."""
    found = []
    for path in sorted(parent.iterdir()) if parent.is_dir() else []:
        owner = Owner.parse(path.name)
        if owner is None or not owner.is_alive():
            if salvage is not None:
                salvage(path)
            remove_tree(path)
            found.append(path)
    return tuple(found)


def remove_tree(path: Path) -> None:
    """Remove `path` and everything below it; links are not followed."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ImageError(f"remove {error.filename or path}: {errno_advice(error)}") from error


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False, timeout_s: float = 60.0) -> Iterator[None]:
    """Hold the lock file `path`, exclusive or shared; the kernel frees it when the holder dies."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ImageError(f"lock {path}: {errno_advice(error)}") from error
    try:
        deadline = time.monotonic() + timeout_s
        while not _try_lock(fd, fcntl.LOCK_SH if shared else fcntl.LOCK_EX):
            if time.monotonic() > deadline:
                raise LockTimeoutError(
                    f"lock {path}: another process held it for {timeout_s:.0f} s; wait or end it"
                )
            time.sleep(0.01)
        yield
    finally:
        os.close(fd)


def _try_lock(fd: int, kind: int = fcntl.LOCK_EX) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        return False
    return True


class Lease:
    """Shared locks on unpacked layers: while they are held, no process removes the layers."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self._fds: list[int] = []
        try:
            for path in paths:
                fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                self._fds.append(fd)
                fcntl.flock(fd, fcntl.LOCK_SH)
        except OSError as error:
            self.close()
            raise ImageError(f"use layer {error.filename}: {errno_advice(error)}") from error

    def close(self) -> None:
        """Release the layers. Idempotent."""
        while self._fds:
            os.close(self._fds.pop())


def in_use(path: Path) -> bool:
    """Say whether any process holds a lease on the layer directory `path`."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return not _try_lock(fd)
    finally:
        os.close(fd)
