"""Directories that one process owns: made under its name, removed by it, or by anybody once it is dead."""

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
    """Return this process's own directory below `parent`, made when missing."""
    own = path(parent)
    own.mkdir(parents=True, exist_ok=True)
    return own


def path(parent: Path) -> Path:
    """Return where this process's own directory below `parent` is or would be."""
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
    """Remove what dead owners left below `parent`."""
    for tree in abandoned(parent):
        remove(tree)


def remove(tree: Path) -> None:
    """Kill what has its root below `tree`, unmount all below it, and delete it. Idempotent.

    The order matters: a delete while a volume is still bound below would delete the user's files.
    """
    processes.kill_all(lambda: processes.rooted_below(tree), f"processes rooted below {tree}")
    mounts.unmount_below(tree)
    if tree.exists():
        shutil.rmtree(tree)


def remove_mount(target: Path) -> None:
    """Unmount all at and below `target` and remove the empty directory it was mounted on."""
    processes.kill_all(lambda: processes.rooted_below(target), f"processes rooted below {target}")
    mounts.unmount_below(target)
    if target.exists():
        target.rmdir()


def disk_bytes(directory: Path) -> int:
    """Return the blocks on disk of `directory` and all below it, each inode once, in bytes."""
    blocks: dict[int, int] = {}
    for where, names, files in os.walk(directory):
        for name in ("", *names, *files):
            with contextlib.suppress(FileNotFoundError):
                info = Path(where, name).lstat()
                blocks[info.st_ino] = info.st_blocks
    return sum(blocks.values()) * 512
