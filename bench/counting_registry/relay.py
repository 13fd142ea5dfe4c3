"""A TCP relay on the loopback that counts the bytes in each direction."""

from __future__ import annotations

import contextlib
import socket
import threading

import msgspec

_PIECE = 1 << 18


class Moved(msgspec.Struct, frozen=True, kw_only=True):
    """Bytes of TCP payload, which includes HTTP headers."""

    to_registry: int
    from_registry: int

    def since(self, before: Moved) -> Moved:
        """Return the difference to an earlier reading."""
        return Moved(
            to_registry=self.to_registry - before.to_registry,
            from_registry=self.from_registry - before.from_registry,
        )


class Relay:
    """Listens at a free port of 127.0.0.1 and forwards each connection to port `target`."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._counts = {"to": 0, "from": 0}
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        threading.Thread(target=self._accept, name="relay", daemon=True).start()

    def moved(self) -> Moved:
        """Return the bytes so far."""
        with self._lock:
            return Moved(to_registry=self._counts["to"], from_registry=self._counts["from"])

    def close(self) -> None:
        """Stop listening and close open connections. Idempotent."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            left = list(self._open)
        for one in left:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            threading.Thread(target=self._serve, args=(client, server), daemon=True).start()

    def _serve(self, client: socket.socket, server: socket.socket) -> None:
        with self._lock:
            self._open |= {client, server}
        back = threading.Thread(target=self._pump, args=(server, client, "from"), daemon=True)
        back.start()
        self._pump(client, server, "to")
        back.join()
        with self._lock:
            self._open -= {client, server}
        client.close()
        server.close()

    def _pump(self, source: socket.socket, target: socket.socket, way: str) -> None:
        buffer = memoryview(bytearray(_PIECE))
        with contextlib.suppress(OSError):
            while count := source.recv_into(buffer):
                with self._lock:
                    self._counts[way] += count
                target.sendall(buffer[:count])
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
