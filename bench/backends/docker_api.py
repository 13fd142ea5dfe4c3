"""As much of Docker's HTTP API as the adapter needs, over a unix socket and without Docker's own client."""

from __future__ import annotations

import http.client
import json
import select
import socket
import time
from pathlib import Path
from typing import Any

from bench.backends.base import BackendError

TIMEOUT_S = 60.0
_HEADER = 8
_STDERR = 2


class DockerApi:
    """Requests to one daemon; each takes a connection of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def alive(self) -> bool:
        """Say whether a daemon answers here."""
        try:
            return self._exchange("GET", "/_ping", None)[0] == 200
        except (OSError, http.client.HTTPException):
            return False

    def ask(self, method: str, path: str, body: object = None) -> Any:
        """Send a request and return the decoded answer, None when it is empty. BackendError when refused."""
        try:
            status, answer = self._exchange(method, path, body)
        except (OSError, http.client.HTTPException) as error:
            raise BackendError(
                f"docker {method} {path}: no answer at {self.path}: {error}; is the daemon up?"
            ) from error
        if status >= 400:
            raise BackendError(f"docker {method} {path}: {_message(answer)}")
        return json.loads(answer) if answer else None

    def _exchange(self, method: str, path: str, body: object) -> tuple[int, bytes]:
        connection = _Connection(self.path)
        try:
            headers = {"Content-Type": "application/json"} if body is not None else {}
            text = json.dumps(body) if body is not None else None
            connection.request(method, path, body=text, headers=headers)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("docker", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = _connect(self._path)


class AttachedOutput:
    """The main program's outputs, as the daemon streams them: frames of (stream, length, bytes)."""

    def __init__(self, api: DockerApi, container: str) -> None:
        self.errors = bytearray()
        self._held = bytearray()
        self._socket = _connect(api.path)
        lines = (
            f"POST /containers/{container}/attach?stream=1&stdout=1&stderr=1 HTTP/1.1",
            "Host: docker",
            "Connection: Upgrade",
            "Upgrade: tcp",
            "Content-Length: 0",
        )
        self._socket.sendall("\r\n".join((*lines, "", "")).encode())
        while b"\r\n\r\n" not in self._held:
            data = self._socket.recv(4096)
            if not data:
                raise BackendError(f"docker attach to {container}: the daemon hung up; see its log")
            self._held += data
        head, _, rest = bytes(self._held).partition(b"\r\n\r\n")
        if b" 101 " not in head.splitlines()[0]:
            raise BackendError(f"docker attach to {container}: {head.splitlines()[0].decode()}")
        self._held = bytearray(rest)

    def first_output(self, timeout_s: float) -> int | None:
        """Return the host's stamp of the first byte on stdout, None at the end or after `timeout_s`."""
        deadline = time.monotonic() + timeout_s
        stamp = time.monotonic_ns()
        while not self._take_frames():
            ready = select.select([self._socket], [], [], max(0.0, deadline - time.monotonic()))[0]
            if not ready:
                return None
            data = self._socket.recv(1 << 16)
            stamp = time.monotonic_ns()
            if not data:
                return None
            self._held += data
        self._socket.setblocking(False)
        return stamp

    def drain(self) -> None:
        """Drop what has come since."""
        try:
            while self._socket.recv(1 << 16):
                pass
        except OSError:
            return

    def close(self) -> None:
        """Hang up. Idempotent."""
        self._socket.close()

    def _take_frames(self) -> bool:
        """Take whole frames off; True when one was of standard output."""
        while len(self._held) >= _HEADER:
            size = int.from_bytes(self._held[4:8], "big")
            if self._held[0] != _STDERR and len(self._held) > _HEADER:
                return True
            if len(self._held) < _HEADER + size:
                return False
            self.errors += self._held[_HEADER : _HEADER + size]
            del self._held[: _HEADER + size]
        return False


def _connect(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    connection.settimeout(TIMEOUT_S)
    try:
        connection.connect(str(path))
    except OSError:
        connection.close()
        raise
    return connection


def _message(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["message"])
    except (ValueError, KeyError, TypeError):
        return answer.decode(errors="replace")[:300]
