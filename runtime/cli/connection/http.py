"""HTTP/1.1 over one connected socket: requests, streamed answers, upgrades.

http.client takes three times as long to import as a container to start, and cannot upgrade a connection.
"""

import _socket

from runtime.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

PIECE = 1 << 18
"""Bytes that are read at once, at most."""
_HEAD_MOST = 1 << 20
_PEEK = _socket.MSG_PEEK | _socket.MSG_DONTWAIT
_SAFE = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def quote(text: str, keep: bytes = b"") -> str:
    """Percent-encode for a URL; bytes in `keep` stay."""
    data = text.encode("utf-8", "surrogateescape")
    if _SAFE.issuperset(data):
        return text
    return "".join([chr(byte) if byte in _SAFE or byte in keep else f"%{byte:02X}" for byte in data])


def target(path: str, query: "Iterable[tuple[str, str]]" = ()) -> str:
    """Join a path and its query; values are encoded, the path is used as it is."""
    pairs = "&".join([f"{name}={quote(value)}" for name, value in query])
    return f"{path}?{pairs}" if pairs else path


class HttpConnection:
    """A connection; it owns `sock`. CliError when the daemon is gone or what it sends is not HTTP."""

    __slots__ = ("host", "rest", "sock")

    def __init__(self, sock: _socket.socket, host: str) -> None:
        self.sock = sock
        self.host = host
        self.rest = b""  # received, not yet used

    def close(self) -> None:
        """Close the socket. Idempotent."""
        self.sock.close()

    def waits(self) -> bool:
        """Whether the connection can take a request: the daemon has neither closed it nor sent anything."""
        try:
            self.sock.recv(1, _PEEK)
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def send(
        self,
        method: str,
        where: str,
        body: "bytes | Iterable[bytes] | None" = None,
        headers: "tuple[tuple[str, str], ...]" = (),
    ) -> None:
        """Send a request. A body of pieces is sent chunked."""
        head = f"{method} {where} HTTP/1.1\r\nHost: {self.host}\r\nUser-Agent: nn\r\n"
        for name, value in headers:
            head += f"{name}: {value}\r\n"
        if body is None:
            head += "\r\n" if method in ("GET", "HEAD") else "Content-Length: 0\r\n\r\n"
            self._send(head.encode())
        elif isinstance(body, bytes):
            self._send(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        else:
            self._send(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
            self._send_pieces(body)

    def _send(self, data: bytes) -> None:
        try:
            self.sock.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # the daemon may have sent the reason before it closed
        except OSError as error:
            raise CliError(f"send to the daemon: {error.strerror}; is it still running?") from error

    def _send_pieces(self, pieces: "Iterable[bytes]") -> None:
        try:
            for piece in pieces:
                if piece:
                    self.sock.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
            self.sock.sendall(b"0\r\n\r\n")
        except (BrokenPipeError, ConnectionResetError):
            pass  # the daemon answered before it read everything; the answer has the reason

    def receive(self) -> bytes:
        """Return received bytes, at least one; b"" at the end."""
        if self.rest:
            data, self.rest = self.rest, b""
            return data
        try:
            return self.sock.recv(PIECE)
        except ConnectionResetError:
            return b""

    def line(self, *, begins: bool = False) -> bytes:
        """Return a line without its end. begins: it is the first line of an answer."""
        data = self.rest
        while (end := data.find(b"\n")) < 0:
            self.rest = b""
            more = self.receive()
            if not more and not data and begins:
                raise CliError(
                    "read the daemon's answer: the connection ended before it; "
                    "check that a daemon listens there, its log, and what ssh printed above"
                )
            if not more or len(data) > _HEAD_MOST:
                raise CliError(
                    "read the daemon's answer: the connection ended within it; see the daemon's log"
                )
            data += more
        self.rest = data[end + 1 :]
        return data[:end].rstrip(b"\r")

    def answer(self, method: str) -> "Answer":
        """Return the answer to a request of that method when its head has arrived."""
        while True:
            first = self.line(begins=True).split(b" ", 2)
            if len(first) < 2 or not first[0].startswith(b"HTTP/1.") or not first[1].isdigit():
                raise CliError(
                    "read the daemon's answer: it is not HTTP; check the address, and whether it needs TLS"
                )
            headers = {}
            while text := self.line():
                name, _, value = text.decode("latin-1").partition(":")
                headers[name.lower()] = value.strip()
            status = int(first[1])
            if status != 100:
                return Answer(self, status, headers, method)


class Answer:
    """Status and headers (lower case) of an answer; its body can be read once."""

    __slots__ = ("_method", "connection", "headers", "status")

    def __init__(self, connection: HttpConnection, status: int, headers: dict[str, str], method: str) -> None:
        self.connection = connection
        self.status = status
        self.headers = headers
        self._method = method

    def read(self) -> bytes:
        """Return the whole body."""
        return b"".join(self.pieces())

    def pieces(self) -> "Iterator[bytes]":
        """Yield the body as it comes. CliError when it is cut short."""
        if self._method == "HEAD" or self.status in (101, 204, 304):
            return
        if "chunked" in self.headers.get("transfer-encoding", "").lower():
            yield from self._chunked()
        elif "content-length" in self.headers:
            yield from self._counted(int(self.headers["content-length"]))
        else:
            while data := self.connection.receive():
                yield data

    def _counted(self, left: int) -> "Iterator[bytes]":
        while left:
            data = self.connection.receive()
            if not data:
                raise CliError(f"read the daemon's answer: {left} bytes are missing; see the daemon's log")
            if len(data) > left:
                self.connection.rest = data[left:]
                data = data[:left]
            left -= len(data)
            yield data

    def _chunked(self) -> "Iterator[bytes]":
        while size := int(self.connection.line().partition(b";")[0], 16):
            yield from self._counted(size)
            self.connection.line()
        while self.connection.line():
            pass
