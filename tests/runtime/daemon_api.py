"""A daemon's API over its socket, without a client."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
from pathlib import Path
from typing import Any

_PATIENCE_S = 120.0


class Api:
    """The daemon's API over its socket; a daemon that dies in between is a ConnectionError."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Ask, and return the status with the document."""
        status, text = self.raw(method, path, body)
        return status, json.loads(text) if text.strip() else None

    def raw(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Ask, and return the status with the bytes."""
        connection = http.client.HTTPConnection("localhost", timeout=_PATIENCE_S)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(_PATIENCE_S)
        with contextlib.closing(connection):
            connection.sock.connect(str(self.path))
            data = None if body is None else json.dumps(body)
            connection.request(method, f"/v1.45{path}", data, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, answer.read()
