"""Event loop of one thread: descriptors, timers, and work for idle time."""

from __future__ import annotations

import contextlib
import heapq
import itertools
import select
import time
from collections.abc import Callable

Call = Callable[[], object]
_REST_S = 0.01
"""How long the loop has to be idle before `spare` is called: a burst of requests lasts longer."""


class Loop:
    """Calls back when a descriptor can be read (or written), and when a time has come. Nothing blocks in it.

    spare: called while nothing else happens, again and again until it returns False; wake it with rest().
    """

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._calls: dict[int, Call] = {}
        self._timers: list[tuple[float, int, Call]] = []
        self._numbers = itertools.count()
        self._ended = False
        self._resting = False
        self.spare: Callable[[], bool] = bool

    def watch(self, fd: int, call: Call) -> None:
        """Call when `fd` can be read, has ended or failed, as long as it is watched."""
        self._epoll.register(fd, select.EPOLLIN)
        self._calls[fd] = call

    def want_write(self, fd: int, wanted: bool) -> None:
        """Also call when a watched `fd` can be written, or stop that."""
        self._epoll.modify(fd, select.EPOLLIN | (select.EPOLLOUT if wanted else 0))

    def forget(self, fd: int) -> None:
        """Stop watching; to be called before `fd` is closed, or at least before its number is used again."""
        if self._calls.pop(fd, None) is not None:
            with contextlib.suppress(OSError):  # closed already
                self._epoll.unregister(fd)

    def later(self, delay_s: float, call: Call) -> None:
        """Call once, after a delay."""
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._numbers), call))

    def rest(self) -> None:
        """Use idle time from now on."""
        self._resting = True

    def end(self) -> None:
        """Make run() return."""
        self._ended = True

    def run(self) -> None:
        """Serve until end()."""
        while not self._ended:
            ready = self._epoll.poll(self._patience(), 64)
            self._call_timers()
            for fd, _ in ready:
                call = self._calls.get(fd)
                if call is not None:  # forgotten by one that was called before
                    call()
            if not ready and self._resting and not self._ended:
                self._resting = self.spare()

    def close(self) -> None:
        """Free the poll descriptor."""
        self._epoll.close()

    def _patience(self) -> float | None:
        times = [_REST_S] if self._resting else []
        if self._timers:
            times.append(max(0.0, self._timers[0][0] - time.monotonic()))
        return min(times) if times else None

    def _call_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            heapq.heappop(self._timers)[2]()
