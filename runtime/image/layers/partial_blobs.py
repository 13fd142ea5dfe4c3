"""Keep the beginnings of blobs whose receiving process died, so that the next pull resumes after them.

They are not trusted: the digest of the whole blob is checked as if all of it came from outside.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import BinaryIO

_SUFFIX = ".part"
_KEPT_S = 24 * 3600.0


def scratch_name(digest: str | None) -> str:
    """Return the name of the scratch file that receives a blob; digest: the blob's, if known."""
    return f"{digest.partition(':')[2]}{_SUFFIX}" if digest else "blob"


class PartialBlobs:
    """The directory of partial blobs. Several processes may use it at once."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def salvage(self, scratch: Path) -> None:
        """Move partial blobs out of a dead process's scratch directory; of two, the longer is kept."""
        for found in scratch.glob(f"*{_SUFFIX}"):
            target = self.root / found.name
            with contextlib.suppress(OSError):  # another process was first, or the disk is read-only
                self.root.mkdir(exist_ok=True)
                if not target.exists() or target.stat().st_size < found.stat().st_size:
                    found.replace(target)

    def open(self, digest: str) -> BinaryIO | None:
        """Open a partial blob. It stays until forget(), in case this process dies too."""
        try:
            return (self.root / scratch_name(digest)).open("rb")
        except OSError:
            return None

    def forget(self, digest: str) -> None:
        """Remove a partial blob: the whole blob is in the store, or the part is damaged."""
        (self.root / scratch_name(digest)).unlink(missing_ok=True)

    def expire(self, age_s: float = _KEPT_S) -> None:
        """Remove partial blobs that are too old."""
        for path in self.root.glob(f"*{_SUFFIX}"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime >= age_s:
                    path.unlink()
