"""Replace files such that readers, and a power cut, see the old content or the new."""

from __future__ import annotations

import os
from pathlib import Path


def replace_file(target: Path, data: bytes, *, sync: bool = True) -> None:
    """Replace a file, mode 0600; a failure leaves nothing behind. sync: it survives a power cut."""
    temporary = f"{target}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        try:
            left = memoryview(data)
            while left:
                left = left[os.write(fd, left) :]
            if sync:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.replace(temporary, target)  # noqa: PTH105 - on the start path
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    if sync:
        sync_path(target.parent)


def sync_path(path: Path) -> None:
    """Make a file's content, or the renames inside a directory, survive a power cut."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
