"""The users of a private daemon: each holds a connection open for as long as it needs the daemon."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

READY = b"\n"
"""Sent to a user once the daemon answers requests."""


class Users:
    """Accepts users and reports when the last one has left, however it ended: its end closes the connection.

    A user that leaves closes its sending side and reads. It reads the end at once if others stay, else when
    this process, with everything it held, is gone. No user is accepted from then on: one that waits in the
    queue reads the end, too, and starts another daemon.
    """

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self._here: set[socket.socket] = set()
        self._last: socket.socket | None = None  # open as long as this process lives
        self._leave: Callable[[], object] = lambda: None

    def serve(self, leave: Callable[[], object]) -> None:
        """Accept users from now on; leave: called once, in the event loop, when the last one has left."""
        self._leave, self._loop = leave, asyncio.get_running_loop()
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener, self._greet)

    def _greet(self) -> None:
        with contextlib.suppress(OSError):  # the user has gone again
            user, _ = self._listener.accept()
            user.setblocking(False)
            self._here.add(user)
            self._loop.add_reader(user, self._part, user)
            user.send(READY)

    def _part(self, user: socket.socket) -> None:
        self._loop.remove_reader(user)
        self._here.remove(user)
        if self._here:
            user.close()
            return
        self._loop.remove_reader(self._listener)
        self._last = user
        self._leave()
