"""Pulls of one process that want the same layer: one gets it, the others wait and then have it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from runtime.image.registry.cancel import CancelToken

_LOOK_S = 0.1


class SingleFlight:
    """Which layers are on their way."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._flying: set[str] = set()

    @contextlib.contextmanager
    def alone(self, digest: str, cancel: CancelToken) -> Iterator[None]:
        """Be the only one that gets `digest`. Raises TransferCancelledError while it waits."""
        with self._changed:
            while digest in self._flying:
                self._changed.wait(_LOOK_S)
                cancel.check()
            self._flying.add(digest)
        try:
            yield
        finally:
            with self._changed:
                self._flying.discard(digest)
                self._changed.notify_all()
