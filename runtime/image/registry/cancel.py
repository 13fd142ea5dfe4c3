"""Cancel transfers: when their client has gone, or the daemon stops."""

from __future__ import annotations

import contextlib
import socket
import threading
import weakref

from runtime.image.registry.registry_errors import TransferCancelledError


class CancelToken:
    """Cancels a transfer: abort() makes all its requests fail at once."""

    def __init__(self) -> None:
        self._aborted = threading.Event()
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._lock = threading.Lock()

    def abort(self) -> None:
        """Cancel: reads and waits raise TransferCancelledError. Idempotent, from any thread."""
        self._aborted.set()
        with self._lock:
            for sock in list(self._sockets):
                shut(sock)

    def check(self) -> None:
        """Raise TransferCancelledError if cancelled."""
        if self._aborted.is_set():
            raise TransferCancelledError("the transfer was cancelled")

    def sleep(self, seconds: float) -> None:
        """Sleep; raises TransferCancelledError at once if cancelled."""
        self._aborted.wait(seconds)
        self.check()

    def watch(self, one: socket.socket) -> None:
        """Register a connection's socket, to shut down on abort()."""
        with self._lock:
            self._sockets.add(one)
        if self._aborted.is_set():
            shut(one)


def shut(one: socket.socket) -> None:
    """Shut a socket down, which wakes its readers. SSLSocket's own method would free what they use."""
    with contextlib.suppress(OSError):
        socket.socket.shutdown(one, socket.SHUT_RDWR)
