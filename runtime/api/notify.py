"""A word to systemd, if it is there."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(state: str) -> None:
    """Send `READY=1` or the like to who started us, as sd_notify(3) does. Nothing happens without systemd."""
    name = os.environ.get("NOTIFY_SOCKET", "")
    if not name:
        return
    if name.startswith("@"):
        name = "\0" + name[1:]
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.connect(name)
        sock.sendall(state.encode())
