"""A client for the part of Docker's HTTP API that the backends use, over a unix socket."""

from __future__ import annotations

import contextlib
import http.client
import json
import select
import socket
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from bench.backends.base import BackendError

TIMEOUT_S = 60.0
_HEADER = 8
_STDERR = 2


class DockerApi:
    """Sends requests to one daemon, each over a new connection."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def alive(self) -> bool:
        """Return whether a daemon answers here."""
        try:
            with self._answered("GET", "/_ping", None, {}) as response:
                return response.status == 200
        except BackendError:
            return False

    def ask(self, method: str, path: str, body: object = None, *, allow: tuple[int, ...] = ()) -> Any:
        """Send a request and return the decoded answer, None if it is empty. Raises BackendError.

        allow: statuses of 400 and above that are not errors; the answer is then None.
        """
        with self._answered(method, path, _encoded(body), _headers(body)) as response:
            answer = response.read()
            if response.status in allow:
                return None
            _check(method, path, response.status, answer)
        return json.loads(answer) if answer else None

    def upload(self, method: str, path: str, body: bytes | Iterable[bytes]) -> bytes:
        """Send a tar archive, whole or in pieces; return the answer as it is."""
        with self._answered(method, path, body, {"Content-Type": "application/x-tar"}) as response:
            answer = response.read()
            _check(method, path, response.status, answer)
            return answer

    @contextlib.contextmanager
    def download(self, method: str, path: str) -> Iterator[http.client.HTTPResponse]:
        """Yield the body of an answer as a file."""
        with self._answered(method, path, None, {}) as response:
            if response.status >= 400:
                _check(method, path, response.status, response.read())
            yield response

    def lines(self, method: str, path: str, headers: dict[str, str]) -> Iterator[bytes]:
        """Yield the lines of an answer as they arrive."""
        with self._answered(method, path, None, headers) as response:
            if response.status >= 400:
                _check(method, path, response.status, response.read())
            while line := response.readline():
                yield line

    @contextlib.contextmanager
    def _answered(
        self, method: str, path: str, body: Any, headers: dict[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        connection = _Connection(self.path)
        try:
            connection.request(method, path, body=body, headers=headers)
            yield connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise BackendError(
                f"docker {method} {path}: no answer at {self.path}: {error}; is the daemon up?"
            ) from error
        finally:
            connection.close()


def _encoded(body: object) -> bytes | None:
    return None if body is None else json.dumps(body).encode()


def _headers(body: object) -> dict[str, str]:
    return {} if body is None else {"Content-Type": "application/json"}


def _check(method: str, path: str, status: int, answer: bytes) -> None:
    if status >= 400:
        raise BackendError(f"docker {method} {path}: {_message(answer)}")


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("docker", timeout=TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = _connect(self._path)


class AttachedOutput:
    """The main program's output as the daemon streams it: frames of (stream, length, bytes)."""

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
                raise BackendError(
                    f"docker attach to {container}: the daemon closed the connection; see its log"
                )
            self._held += data
        head, _, rest = bytes(self._held).partition(b"\r\n\r\n")
        if b" 101 " not in head.splitlines()[0]:
            raise BackendError(f"docker attach to {container}: {head.splitlines()[0].decode()}")
        self._held = bytearray(rest)

    def first_output(self, timeout_s: float) -> int | None:
        """Return the host's stamp of the first byte on stdout, None at its end or after `timeout_s`."""
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
        """Drop the output that has arrived since."""
        try:
            while self._socket.recv(1 << 16):
                pass
        except OSError:
            return

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._socket.close()

    def _take_frames(self) -> bool:
        """Remove whole frames from the buffer; return True at the first one of standard output."""
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
