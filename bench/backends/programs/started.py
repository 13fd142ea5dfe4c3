"""The instances of one backend that were started and not stopped yet."""

from __future__ import annotations

import contextlib
from typing import Protocol, TypeVar


class Stoppable(Protocol):
    """Can be stopped more than once and knows whether it was."""

    stopped: bool

    def stop(self) -> None:
        """End it. Idempotent."""


Kind = TypeVar("Kind", bound=Stoppable)


class Started:
    """Remembers instances, so that cleanup() can stop those still running."""

    def __init__(self) -> None:
        self._instances: list[Stoppable] = []

    def add(self, instance: Kind) -> Kind:
        """Remember `instance`, forget the stopped ones, and return it."""
        self._instances = [one for one in self._instances if not one.stopped]
        self._instances.append(instance)
        return instance

    def stop(self) -> None:
        """Stop all, latest first, even if one fails; the error is raised at the end."""
        with contextlib.ExitStack() as stack:
            for instance in self._instances:
                stack.callback(instance.stop)
            self._instances = []
