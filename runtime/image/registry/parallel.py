"""Several blobs at once: the first failure ends the others, and is the one that is told."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from runtime.image.registry.cancel import CancelToken
from runtime.image.registry.registry_errors import TransferCancelledError

T = TypeVar("T")
R = TypeVar("R")

_LOOK_S = 0.1


def work(cancel: CancelToken, parallel: int, one: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Do `one` for each item, at most `parallel` at a time, in order; return the results in order.

    cancel: of this work alone; it is aborted when something fails.
    """
    failures: list[BaseException] = []

    def watched(item: T) -> R:
        try:
            cancel.check()
            return one(item)
        except BaseException as error:
            failures.append(error)
            cancel.abort()
            raise

    with ThreadPoolExecutor(max_workers=max(1, parallel), thread_name_prefix="blob") as pool:
        futures = [pool.submit(watched, item) for item in items]
        try:
            for future in futures:
                future.exception()
        except BaseException:
            cancel.abort()
            raise
    if not failures:
        return [future.result() for future in futures]
    try:
        raise next((one for one in failures if not isinstance(one, TransferCancelledError)), failures[0])
    finally:  # it holds this frame, which must not hold it: both would stay, with all the work had in hand
        failures.clear()
        futures.clear()


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
