"""How much of the disk a container's own files take."""

from __future__ import annotations

import os
from pathlib import Path

from runtime.engine.service.record import ContainerRecord
from runtime.engine.service.service import Service
from runtime.image.errors import ImageError


def sizes_of(service: Service, record: ContainerRecord) -> tuple[int, int]:
    """Return (bytes of what it wrote, bytes of that and its image). Blocks on the disk."""
    written = bytes_below(service.containers.directory(record.id) / "layer" / "u")
    try:
        image = service.images.resolve(record.image_id).unpacked_size
    except ImageError:
        image = 0
    return written, written + image


def bytes_below(directory: Path) -> int:
    """Return the bytes of all regular files below a directory, each inode once."""
    total, seen = 0, set()
    waiting = [os.fspath(directory)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    status = entry.stat(follow_symlinks=False)
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif entry.is_file(follow_symlinks=False) and status.st_ino not in seen:
                        if status.st_nlink > 1:
                            seen.add(status.st_ino)
                        total += status.st_size
        except (FileNotFoundError, NotADirectoryError):
            continue
    return total
