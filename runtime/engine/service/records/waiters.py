"""Futures of a container's end, registered before anything is awaited, so that none is missed."""

from __future__ import annotations

import asyncio
from typing import Literal, NamedTuple

from runtime.engine.errors import BadParameterError

Condition = Literal["not-running", "next-exit", "removed"]


class Ended(NamedTuple):
    """The result of a wait. error: why the container could not start or be removed, else ""."""

    code: int
    error: str = ""


def check_condition(text: str) -> Condition:
    """Return a condition; "" is not-running. Raises BadParameterError."""
    match text or "not-running":
        case "not-running":
            return "not-running"
        case "next-exit":
            return "next-exit"
        case "removed":
            return "removed"
        case _:
            raise BadParameterError(f'invalid condition: "{text}"; use not-running, next-exit or removed')


class Waiters:
    """The futures of one container, by what they wait for."""

    def __init__(self) -> None:
        self._futures: dict[Condition, set[asyncio.Future[Ended]]] = {
            "next-exit": set(),
            "not-running": set(),
            "removed": set(),
        }

    def add(self, condition: Condition) -> asyncio.Future[Ended]:
        """Return a future of the next end, or of the removal."""
        futures = self._futures[condition]
        future: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        futures.add(future)
        future.add_done_callback(futures.discard)
        return future

    def exited(self, ended: Ended) -> None:
        """Wake next-exit waiters: the program has ended, and its resources are being freed."""
        self._wake("next-exit", ended)

    def stopped(self, ended: Ended) -> None:
        """Wake not-running waiters: it has ended and holds nothing any more."""
        self._wake("next-exit", ended)
        self._wake("not-running", ended)

    def removed(self, ended: Ended) -> None:
        """Wake all waiters: it is removed."""
        self.stopped(ended)
        self._wake("removed", ended)

    def _wake(self, condition: Condition, ended: Ended) -> None:
        for future in list(self._futures[condition]):
            if not future.done():
                future.set_result(ended)


def done(ended: Ended) -> asyncio.Future[Ended]:
    """Return a future that is done."""
    future: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
    future.set_result(ended)
    return future
