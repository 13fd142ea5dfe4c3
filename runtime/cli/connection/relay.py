"""Standard input and output joined to a socket: the far side of ssh://."""

from __future__ import annotations

import os
import threading

from runtime.cli.connection.http import PIECE
from runtime.cli.connection.session import receive, write

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket


def relay(sock: _socket.socket) -> None:
    """Copy both ways; the end of our input closes the socket's half, the socket's end is ours."""

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
