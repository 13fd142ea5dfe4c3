"""How much a container has written."""

from __future__ import annotations

import os
from pathlib import Path


def bytes_below(directory: Path) -> int:
    """Return the bytes of all regular files below a directory, each inode once. Blocks on the disk."""
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
