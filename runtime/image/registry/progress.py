"""Docker's progress messages, one JSON object per line."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

_INTERVAL_S = 0.1


class Detail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Bytes so far, and in total."""

    current: int = 0
    total: int = 0


class Message(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line. id: the layer, as 12 hex digits; progress: the detail as text."""

    status: str = ""
    progress_detail: Detail | None = msgspec.field(name="progressDetail", default=None)
    progress: str = ""
    id: str = ""
    aux: dict[str, Any] | None = None


Progress = Callable[[Message], None]
"""Receives messages, from several threads at once."""


def quiet(message: Message) -> None:
    """Ignore progress."""


def short(digest: str) -> str:
    """Return the 12 hex digits that stand for a layer."""
    return digest.partition(":")[2][:12]


class BlobProgress:
    """Reports one blob's progress, at most ten times a second."""

    def __init__(self, progress: Progress, status: str, digest: str, total: int) -> None:
        self._progress, self._status, self._id, self._total = progress, status, short(digest), total
        self._next = 0.0

    def at(self, current: int) -> None:
        """Report that `current` bytes have passed."""
        now = time.monotonic()
        if now < self._next and current < self._total:
            return
        self._next = now + _INTERVAL_S
        self._progress(
            Message(
                status=self._status,
                id=self._id,
                progress_detail=Detail(current=current, total=self._total),
                progress=bar(current, self._total),
            )
        )

    def say(self, status: str) -> None:
        """Report a status of the blob, such as `Pull complete`."""
        self._progress(Message(status=status, id=self._id, progress_detail=Detail()))


def bar(current: int, total: int, width: int = 50) -> str:
    """Draw docker's bar: `[====>    ]  1.2MB/5MB`."""
    done = min(width, current * width // total) if total else 0
    arrow = "=" * done + (">" if done < width else "")
    return f"[{arrow:{width}}]  {human(current)}/{human(total)}"


def human(size: float) -> str:
    """Format a size as Docker does: powers of 1000, four digits."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.4g}{unit}"
        size /= 1000
    return f"{size:.4g}TB"
