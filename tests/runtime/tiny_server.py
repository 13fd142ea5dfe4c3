"""A real HTTP server on a unix socket or TCP that answers what a test tells it, byte for byte."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Request:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    sock: socket.socket

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def reply(self, body: bytes | str = b"", status: int = 200, **headers: str) -> None:
        data = body.encode() if isinstance(body, str) else body
        lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(data)}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode() + data)

    def upgrade(self, **headers: str) -> None:
        lines = ["HTTP/1.1 101 UPGRADED", "Connection: Upgrade", f"Upgrade: {self.headers['upgrade']}"]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode())

    def received(self) -> bytes:
        """All that the client sends until it ends its half."""
        parts = []
        while data := self.sock.recv(65536):
            parts.append(data)
        return b"".join(parts)


Handler = Callable[[Request], None]


@dataclass
class TinyServer:
    handler: Handler
    listener: socket.socket
    context: ssl.SSLContext | None = None
    requests: list[Request] = field(default_factory=list)
    _acceptor: threading.Thread | None = None

    def start(self) -> TinyServer:
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()
        return self

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        if self._acceptor is not None:
            # It could still accept, for the next server, whose descriptor has the same number.
            self._acceptor.join()
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        with contextlib.suppress(OSError, ValueError), contextlib.ExitStack() as stack:
            if self.context is not None:
                sock = self.context.wrap_socket(sock, server_side=True)
            stack.enter_context(sock)
            file = stack.enter_context(sock.makefile("rb", buffering=0))
            while line := file.readline():
                method, target, _ = line.decode().split(" ", 2)
                headers = {}
                while (text := file.readline().decode().strip()) != "":
                    name, _, value = text.partition(":")
                    headers[name.lower()] = value.strip()
                request = Request(method, target, headers, _body(file, headers), sock)
                self.requests.append(request)
                self.handler(request)
                if "upgrade" in headers or headers.get("connection") == "close":
                    return


def _body(file: socket.SocketIO, headers: dict[str, str]) -> bytes:
    if "chunked" not in headers.get("transfer-encoding", ""):
        return _exactly(file, int(headers.get("content-length", 0)))
    parts = []
    while size := int(file.readline(), 16):
        parts.append(_exactly(file, size))
        file.readline()
    file.readline()
    return b"".join(parts)


def _exactly(file: socket.SocketIO, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := file.read(size - len(data))):
        data += more
    return data


def on_unix(path: Path, handler: Handler) -> TinyServer:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return TinyServer(handler, listener).start()


def on_tcp(handler: Handler, context: ssl.SSLContext | None = None) -> TinyServer:
    return TinyServer(handler, socket.create_server(("127.0.0.1", 0)), context).start()
