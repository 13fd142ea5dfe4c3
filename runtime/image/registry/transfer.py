"""What a pull or push moved, counted as it passes."""

from __future__ import annotations

import threading
from typing import Literal

import msgspec

Fate = Literal["present", "mounted", "moved"]


class Transfer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What travelled: bytes of bodies in both directions, documents and tokens included.

    blobs: digest → bytes of it that were moved, 0 where the other side had it. moved, present, mounted:
    numbers of blobs; a mounted one the registry took from another of its repositories.
    """

    received: int = 0
    sent: int = 0
    moved: int = 0
    present: int = 0
    mounted: int = 0
    blobs: dict[str, int] = {}


class TransferMeter:
    """Counts a transfer, from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._received = self._sent = 0
        self._fates: dict[str, Fate] = {}
        self._blobs: dict[str, int] = {}

    def received(self, size: int, digest: str = "") -> None:
        """Count bytes that came, of a blob where `digest` says which."""
        with self._lock:
            self._received += size
            self._of_blob(size, digest)

    def sent(self, size: int, digest: str = "") -> None:
        """Count bytes that went."""
        with self._lock:
            self._sent += size
            self._of_blob(size, digest)

    def note(self, digest: str, fate: Fate) -> None:
        """Say what became of a blob."""
        with self._lock:
            self._fates.setdefault(digest, fate)
            self._of_blob(0, digest)

    def _of_blob(self, size: int, digest: str) -> None:
        if digest:
            self._blobs[digest] = self._blobs.get(digest, 0) + size

    def total(self) -> Transfer:
        """What was counted until now."""
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
