"""What a process that died had received of a blob: the next pull goes on behind it.

It is believed nothing: the whole blob's digest is checked as if all of it came from outside.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import BinaryIO

_SUFFIX = ".part"
_KEPT_S = 24 * 3600.0


def scratch_name(digest: str | None) -> str:
    """How a file in a scratch directory is called that receives a blob of this digest, if it is known."""
    return f"{digest.partition(':')[2]}{_SUFFIX}" if digest else "blob"


class PartialBlobs:
    """The directory of beginnings of blobs. Several processes may use it at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def salvage(self, scratch: Path) -> None:
        """Take what is of use out of a dead process's scratch directory; the longest of two is kept."""
        for found in scratch.glob(f"*{_SUFFIX}"):
            target = self.root / found.name
            with contextlib.suppress(OSError):  # another process was first, or the disk is read-only
                self.root.mkdir(exist_ok=True)
                if not target.exists() or target.stat().st_size < found.stat().st_size:
                    found.replace(target)

    def open(self, digest: str) -> BinaryIO | None:
        """Open what there is of a blob. It stays until forget(), in case that this process dies, too."""
        try:
            return (self.root / scratch_name(digest)).open("rb")
        except OSError:
            return None

    def forget(self, digest: str) -> None:
        """Keep it no longer: all of the blob is here, or what there was is damaged."""
        (self.root / scratch_name(digest)).unlink(missing_ok=True)

    def expire(self, age_s: float = _KEPT_S) -> None:
        """Remove what nobody has come back for."""
        for path in self.root.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime >= age_s:
                    path.unlink()
