"""Transfer several blobs at once, and each layer only once per process."""

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
    """Call `one` for each item in order, at most `parallel` at a time; return the results in order.

    The first failure cancels the others, through `cancel`, and is raised.
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
        raise next(
            (failure for failure in failures if not isinstance(failure, TransferCancelledError)), failures[0]
        )
    finally:  # the exception references this frame; a cycle would keep all of its data
        failures.clear()
        futures.clear()


class SingleFlight:
    """Pulls that want the same layer: one downloads it, the others wait for it."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._active: set[str] = set()

    @contextlib.contextmanager
    def alone(self, digest: str, cancel: CancelToken) -> Iterator[None]:
        """Be the only one that downloads `digest`. Raises TransferCancelledError while waiting."""
        with self._changed:
            while digest in self._active:
                self._changed.wait(_LOOK_S)
                cancel.check()
            self._active.add(digest)
        try:
            yield
        finally:
            with self._changed:
                self._active.discard(digest)
                self._changed.notify_all()
