"""One daemon per root: a lock that names its holder and is released when the holder ends, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from runtime.engine.errors import EngineError

LOCK = "nnd.lock"


@contextlib.contextmanager
def only_one(root: Path) -> Iterator[None]:
    """Hold the lock of a root. Raises EngineError if another daemon holds it."""
    try:
        root.mkdir(mode=0o711, parents=True, exist_ok=True)
        fd = os.open(root / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise EngineError(f"open {root}: {error.strerror}; give a --root that can be written") from error
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 32, 0).decode("ascii", "replace").strip()
            raise EngineError(
                f"open {root}: the nnd with process id {holder or 'unknown'} uses it; stop that one, or give"
                " another --root"
            ) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(fd)


@contextlib.contextmanager
def pid_file(path: Path | None) -> Iterator[None]:
    """Keep the process id in a file, if one is configured."""
    if path is None:
        yield
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{os.getpid()}\n")
    except OSError as error:
        raise EngineError(f"write {path}: {error.strerror}; give a --pidfile that can be written") from error
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
