"""The engine's files: one directory per engine, named after its owner, with one per container below it.

    ROOT/mnt                       an empty directory all containers attach their root on (each in its own
                                   mount namespace)
    ROOT/run/<owner>.<n>/<m>/u,w   a container's writable layer and overlay's work directory

The owner in the name is the whole state a sweep needs: nothing has to be written, so nothing can be stale.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
from pathlib import Path

from runtime.spawn.owner import Owner

_numbers = itertools.count()


class Directories:
    """The directories of one engine."""

    def __init__(self, root: Path, owner: Owner) -> None:
        self.root = root
        self.mountpoint = f"{root}/mnt"
        self.runs = root / "run"
        self.run = f"{self.runs}/{owner}.{next(_numbers)}"
        self._homes = itertools.count(1)
        Path(self.mountpoint).mkdir(parents=True, exist_ok=True)
        Path(self.run).mkdir(parents=True, mode=0o700)

    def make(self) -> tuple[str, str, str]:
        """Make the directories of one container; return its home, and in it upper and work."""
        home = f"{self.run}/{next(self._homes)}"
        upper, work = home + "/u", home + "/w"
        os.mkdir(home)  # noqa: PTH102 - hot
        os.mkdir(upper)  # noqa: PTH102
        os.mkdir(work)  # noqa: PTH102
        return home, upper, work

    @staticmethod
    def make_at(home: str) -> tuple[str, str]:
        """Make the missing directories of a persistent home; return upper and work."""
        upper, work = f"{home}/u", f"{home}/w"
        for path in (upper, work):
            os.makedirs(path, exist_ok=True)  # noqa: PTH103
        return upper, work

    def note_pid(self, home: str, pid: int) -> None:
        """Write down the pid of a container without a cgroup, for a sweep."""
        owner = Owner.of(pid)
        if owner is not None:
            Path(f"{home}/pid").write_text(str(owner))

    def remove(self, home: str) -> None:
        """Remove a container's directories. Idempotent."""
        remove_tree(home)

    def dead(self) -> list[Path]:
        """Return the run directories of engines whose process is gone."""
        with contextlib.suppress(FileNotFoundError):
            found = [(path, Owner.parse(path.name)) for path in self.runs.iterdir()]
            return [path for path, owner in found if owner is not None and not owner.is_alive()]
        return []

    def close(self) -> None:
        """Remove this engine's directory."""
        remove_tree(self.run)


def remove_tree(home: str) -> None:
    """Remove a container's directory; a handful of rmdir when nothing was written to it. Idempotent."""
    try:
        for path in (f"{home}/u", f"{home}/w/work", f"{home}/w", home):
            os.rmdir(path)  # noqa: PTH106 - a tenth of the time shutil.rmtree takes
    except OSError:
        shutil.rmtree(home, ignore_errors=True)


def disk_bytes(home: str) -> int:
    """Return the bytes on disk below `home`, by allocated blocks, each inode counted once."""
    seen: set[tuple[int, int]] = set()
    total = 0
    for directory, _, files in os.walk(home):
        for path in (directory, *(f"{directory}/{name}" for name in files)):
            with contextlib.suppress(FileNotFoundError):
                info = os.lstat(path)
                if (info.st_dev, info.st_ino) not in seen:
                    seen.add((info.st_dev, info.st_ino))
                    total += info.st_blocks * 512
    return total
