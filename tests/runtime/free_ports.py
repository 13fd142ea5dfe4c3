"""Ports for what cannot choose one itself and tell it."""

from __future__ import annotations

import contextlib
import random
import socket


def free_port(kind: int = socket.SOCK_STREAM) -> int:
    """A port of the host that nobody uses now, and that the kernel gives to nobody who asks for any."""
    while True:
        with socket.socket(socket.AF_INET, kind) as probe, contextlib.suppress(OSError):
            probe.bind(("0.0.0.0", random.randrange(15_000, 30_000)))
            return int(probe.getsockname()[1])
