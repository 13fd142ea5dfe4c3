"""Statistics of a pull or push."""

from __future__ import annotations

import threading
from typing import Literal

import msgspec

Fate = Literal["present", "mounted", "moved"]


class Transfer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Bytes of bodies in both directions, documents and tokens included.

    blobs: digest → bytes transferred, 0 if the other side had it. moved, present, mounted: numbers of blobs;
    the registry takes a mounted one from another of its repositories.
    """

    received: int = 0
    sent: int = 0
    moved: int = 0
    present: int = 0
    mounted: int = 0
    blobs: dict[str, int] = {}


class TransferMeter:
    """Counts a transfer. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = self._sent = 0
        self._fates: dict[str, Fate] = {}
        self._blobs: dict[str, int] = {}

    def received(self, size: int, digest: str = "") -> None:
        """Count received bytes; digest: the blob's, if any."""
        with self._lock:
            self._received += size
            self._of_blob(size, digest)

    def sent(self, size: int, digest: str = "") -> None:
        """Count sent bytes."""
        with self._lock:
            self._sent += size
            self._of_blob(size, digest)

    def note(self, digest: str, fate: Fate) -> None:
        """Record what happened to a blob."""
        with self._lock:
            self._fates.setdefault(digest, fate)
            self._of_blob(0, digest)

    def _of_blob(self, size: int, digest: str) -> None:
        if digest:
            self._blobs[digest] = self._blobs.get(digest, 0) + size

    def total(self) -> Transfer:
        """Return the counts so far."""
        with self._lock:
            fates = list(self._fates.values())
            return Transfer(
                received=self._received,
                sent=self._sent,
                moved=fates.count("moved"),
                present=fates.count("present"),
                mounted=fates.count("mounted"),
                blobs=dict(self._blobs),
            )
