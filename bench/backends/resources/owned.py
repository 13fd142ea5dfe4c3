"""Directories owned by one process: named after it, removed by it, or by any process once it is dead."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from bench.backends.programs import processes
from bench.backends.resources import mounts
from runtime.spawn.owner import Owner


def directory(parent: Path) -> Path:
    """Return this process's directory below `parent`; make it if missing."""
    own = path(parent)
    own.mkdir(parents=True, exist_ok=True)
    return own


def path(parent: Path) -> Path:
    """Return the path of this process's directory below `parent`, which may not exist."""
    return parent.resolve() / str(Owner.current())


def abandoned(parent: Path) -> Iterator[Path]:
    """Yield the directories below `parent` whose owners are dead."""
    if not parent.is_dir():
        return
    for entry in sorted(parent.resolve().iterdir()):
        owner = Owner.parse(entry.name)
        if owner is not None and not owner.is_alive():
            yield entry


def sweep(parent: Path) -> None:
    """Remove the directories of dead owners below `parent`."""
    for tree in abandoned(parent):
        remove(tree)


def remove(tree: Path) -> None:
    """Kill the processes rooted below `tree`, unmount everything below it, and delete it. Idempotent.

    The order matters: deleting while a volume is still mounted would delete the user's files.
    """
    processes.kill_all(lambda: processes.rooted_below(tree), f"processes rooted below {tree}")
    mounts.unmount_below(tree)
    if tree.exists():
        shutil.rmtree(tree)


def remove_mount(target: Path) -> None:
    """Unmount everything at and below `target`, and remove the empty directory."""
    processes.kill_all(lambda: processes.rooted_below(target), f"processes rooted below {target}")
    mounts.unmount_below(target)
    if target.exists():
        target.rmdir()


def disk_bytes(directory: Path) -> int:
    """Return the bytes of the blocks on disk of `directory` and everything below it, each inode once."""
    blocks: dict[int, int] = {}
    for where, names, files in os.walk(directory):
        for name in ("", *names, *files):
            with contextlib.suppress(FileNotFoundError):
                info = Path(where, name).lstat()
                blocks[info.st_ino] = info.st_blocks
    return sum(blocks.values()) * 512
