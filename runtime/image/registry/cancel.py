"""What ends a transfer: a client that has gone, a daemon that stops."""

from __future__ import annotations

import contextlib
import socket
import threading
import weakref

from runtime.image.registry.registry_errors import TransferCancelledError


class CancelToken:
    """Ends a transfer from outside: abort() makes every request of it fail at once."""

    def __init__(self) -> None:
        self._aborted = threading.Event()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()

    def abort(self) -> None:
        """End it: whoever reads or waits gets TransferCancelledError. Idempotent, from any thread."""
        self._aborted.set()
        with self._lock:
            for one in list(self._sockets):
                shut(one)

    def check(self) -> None:
        """Raise TransferCancelledError once it was ended."""
        if self._aborted.is_set():
            raise TransferCancelledError("the transfer was cancelled")

    def sleep(self, seconds: float) -> None:
        """Wait, but no longer than anybody wants to."""
        self._aborted.wait(seconds)
        self.check()

    def watch(self, one: socket.socket) -> None:
        """Note a connection's socket."""
        with self._lock:
            self._sockets.add(one)
        if self._aborted.is_set():
            shut(one)


def shut(one: socket.socket) -> None:
    """Wake whoever reads from a socket. Not SSLSocket's own method: it would free what a reader uses."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(one, socket.SHUT_RDWR)
