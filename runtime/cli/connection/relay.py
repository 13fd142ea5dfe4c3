"""Join standard input and output to a socket: the remote end of ssh://."""

from __future__ import annotations

import os
import threading

from runtime.cli.connection.http import PIECE
from runtime.cli.connection.session import receive, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket


def relay(sock: _socket.socket) -> None:
    """Copy both ways until the socket ends; the end of our input shuts down its sending half."""

    def send() -> None:
        try:
            while data := os.read(0, PIECE):
                sock.sendall(data)
            sock.shutdown(1)
        except OSError:
            pass  # the other direction sees the end

    threading.Thread(target=send, daemon=True).start()
    while data := receive(sock):
        write(1, data)
