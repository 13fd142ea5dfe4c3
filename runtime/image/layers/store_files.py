"""The store's own files: private temporary directories, atomic and durable placement, one lock."""

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
from runtime.spawn.owner import Owner

_EARLY = 4 << 20
_numbers = itertools.count(1)


class LockTimeoutError(ImageError):
    """Another process works in the store for long."""


@functools.cache
def boot_id() -> str:
    """Name this boot of the machine: what another one had cached may never have reached the disk."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def sync_directory(path: Path) -> None:
    """Make renames inside `path` durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def write_atomically(target: Path, data: bytes, scratch: Path) -> None:
    """Put `data` at `target`: a reader and a crash see the old content or the new, nothing between."""
    temporary = scratch / f"file-{next(_numbers)}"
    with temporary.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(target)
    sync_directory(target.parent)


class EarlyWriter:
    """Writes a long file to the disk while it still grows, so that the fsync at its end is short."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._size = self._begun = 0

    def write(self, data: bytes, /) -> int:
        """Write all of `data`."""
        self._file.write(data)
        self._size += len(data)
        if self._size - self._begun >= _EARLY:
            self._file.flush()
            # The kernel writes what is dirty and drops what is not: nobody reads a blob again soon.
            os.posix_fadvise(
                self._file.fileno(), self._begun, self._size - self._begun, os.POSIX_FADV_DONTNEED
            )
            self._begun = self._size
        return len(data)


@contextlib.contextmanager
def scratch_directory(parent: Path) -> Iterator[Path]:
    """Yield a private directory below `parent` named after this process; it is gone afterwards."""
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
    """Remove the scratch directories of dead processes, after a last look at each; return them."""
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
    """Remove `path` and all below it; links are not followed."""
    try:
        shutil.rmtree(path)
    except FileNotFoundError:
        return
    except OSError as error:
        raise ImageError(f"remove {error.filename or path}: {errno_advice(error)}") from error


@contextlib.contextmanager
def locked(path: Path, *, shared: bool = False, timeout_s: float = 60.0) -> Iterator[None]:
    """Hold the lock file `path`, alone or with others; the kernel frees it when its holder dies."""
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
    """Shared locks on unpacked layers: while it is open, no process removes them. Dies with its holder."""

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
        """Give the layers free. Idempotent."""
        while self._fds:
            os.close(self._fds.pop())


def in_use(path: Path) -> bool:
    """Say whether any process holds a lease on the layer directory `path`."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return not _try_lock(fd)
    finally:
        os.close(fd)
