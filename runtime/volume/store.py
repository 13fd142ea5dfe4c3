"""The volumes of a daemon, below one directory: `<name>/volume.json` and `<name>/data`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runtime.volume.model import Volume


class VolumeStore:
    """Volumes below `root`. Blocking; any thread may call it. Implements the engine's VolumesPart."""

    def __init__(self, root: Path) -> None:
        raise NotImplementedError

    def ensure(
        self,
        name: str,
        *,
        driver: str = "local",
        options: dict[str, str] | None = None,
        labels: dict[str, str] | None = None,
    ) -> bool:
        """Make the volume unless it exists; return whether it was made.

        Raises BadVolumeError for a name or driver that cannot be, VolumeConflictError when the one there has
        another driver.
        """
        raise NotImplementedError

    def get(self, name: str) -> Volume:
        """Return one volume. Raises VolumeNotFoundError."""
        raise NotImplementedError

    def list(self) -> list[Volume]:
        """Return all volumes by name."""
        raise NotImplementedError

    def mountpoint(self, name: str) -> Path:
        """Return the directory on the host, whether anything is mounted there or not."""
        raise NotImplementedError

    def mount(self, name: str) -> Path:
        """Return the directory on the host, mounted when the options ask for it; one user more."""
        raise NotImplementedError

    def unmount(self, name: str) -> None:
        """One user less; the last one unmounts."""
        raise NotImplementedError

    def populate(self, name: str, layers: Sequence[Path], path: str) -> None:
        """Copy the image's content below `path` (layers: lowest first) into a volume that is still empty."""
        raise NotImplementedError

    def remove(self, name: str) -> None:
        """Remove a volume and its data. Raises VolumeNotFoundError. Whether it is in use is the caller's to know."""
        raise NotImplementedError

    def usage(self, name: str) -> int:
        """Return the bytes its data takes on disk."""
        raise NotImplementedError

    def close(self) -> None:
        """Unmount what no container uses any more. Idempotent."""
        raise NotImplementedError
