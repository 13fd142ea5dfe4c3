"""Ports for what cannot choose one itself and tell it."""

from __future__ import annotations

import contextlib
import random
import socket

_given: set[int] = set()


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port of the host that nobody uses now, and that the kernel gives to nobody who asks for any.

    Each is given out once in a process: one that is not bound yet looks free.
    """
    while True:
        port = random.randrange(15_000, 30_000)
        with socket.socket(socket.AF_INET, kind) as probe, contextlib.suppress(OSError):
            probe.bind(("0.0.0.0", port))
            if port not in _given:
                _given.add(port)
                return port
