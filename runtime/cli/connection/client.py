"""Requests to the daemon: one method each kind; refusals are DaemonError with the daemon's message."""

from runtime.cli.connection import jsontext
from runtime.cli.connection.endpoint import DaemonEndpoint, environment
from runtime.cli.connection.http import Answer, HttpConnection, target
from runtime.cli.connection.reach import connect
from runtime.cli.errors import DaemonError

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

Value = str | int | bool | list[str] | None
Query = dict[str, Value]
"""Query parameters: None and False are left out, True is 1, a list is repeated."""


class Client:
    """Sends requests to one daemon. It connects when needed and keeps one free connection.

    sock: a connection that is already open. private: the daemon ends with this command.
    """

    private = False

    def __init__(
        self,
        where: "DaemonEndpoint | Callable[[], DaemonEndpoint]",
        sock: "_socket.socket | None" = None,
    ) -> None:
        self._where = where
        version = environment("DOCKER_API_VERSION")
        self._prefix = f"/v{version}" if version else ""
        self._idle: HttpConnection | None = HttpConnection(sock, "localhost") if sock is not None else None

    @property
    def endpoint(self) -> DaemonEndpoint:
        """The daemon's address; looked up when needed, since some verbs send no request."""
        if not isinstance(self._where, DaemonEndpoint):
            self._where = self._where()
        return self._where

    # ---- documents -------------------------------------------------------------------------------------

    def get(self, path: str, query: "Mapping[str, Value] | None" = None) -> "Any":
        """GET a document."""
        return self.call("GET", path, query)

    def post(self, path: str, query: "Mapping[str, Value] | None" = None, body: "Any" = None) -> "Any":
        """POST a document (or nothing) and return the answer's document, None for an empty answer."""
        return self.call("POST", path, query, body)

    def delete(self, path: str, query: "Mapping[str, Value] | None" = None) -> "Any":
        """DELETE something."""
        return self.call("DELETE", path, query)

    def call(
        self, method: str, path: str, query: "Mapping[str, Value] | None" = None, body: "Any" = None
    ) -> "Any":
        """Make a request whose answer is a document."""
        with_type = (("Content-Type", "application/json"),)
        data = None if body is None else jsontext.dumps(body).encode()
        answer = self.open(method, path, query, data, () if data is None else with_type)
        text = answer.read()
        self.keep(answer)
        return jsontext.loads(text) if text.strip() else None

    # ---- streams ---------------------------------------------------------------------------------------

    def open(
        self,
        method: str,
        path: str,
        query: "Mapping[str, Value] | None" = None,
        body: "bytes | Iterable[bytes] | None" = None,
        headers: "tuple[tuple[str, str], ...]" = (),
    ) -> Answer:
        """Make a request and return its answer, body unread. DaemonError for a status of 400 and above."""
        return _accepted(self._send(method, path, query, body, headers).answer(method))

    def _send(
        self,
        method: str,
        path: str,
        query: "Mapping[str, Value] | None",
        body: "bytes | Iterable[bytes] | None",
        headers: "tuple[tuple[str, str], ...]",
    ) -> HttpConnection:
        """Send a request, on the kept connection unless the daemon has closed it."""
        connection, self._idle = self._idle, None
        if connection is not None and not connection.waits():
            connection.close()
            connection = None
        connection = connection or self.connect()
        connection.send(method, self._prefix + target(path, pairs(query)), body, headers)
        return connection

    def keep(self, answer: Answer) -> None:
        """Keep an answer's connection for the next request; the answer was read to its end."""
        if answer.headers.get("connection", "").lower() == "close" or self._idle is not None:
            answer.connection.close()
        else:
            self._idle = answer.connection

    def lines(
        self,
        method: str,
        path: str,
        query: "Mapping[str, Value] | None" = None,
        body: "bytes | Iterable[bytes] | None" = None,
        headers: "tuple[tuple[str, str], ...]" = (),
    ) -> "Iterator[dict[str, Any]]":
        """Yield the documents of a streamed answer as they come."""
        answer = self.open(method, path, query, body, headers)
        left = b""
        for piece in answer.pieces():
            *whole, left = (left + piece).split(b"\n")
            for line in whole:
                if line.strip():
                    yield jsontext.loads(line)
        if left.strip():
            yield jsontext.loads(left)

    def hijack(
        self, path: str, query: "Mapping[str, Value] | None" = None, body: "Any" = None, kind: str = "tcp"
    ) -> Answer:
        """POST and take over the connection: it then carries the program's stream."""
        headers = (("Connection", "Upgrade"), ("Upgrade", kind), ("Content-Type", "application/json"))
        data = b"" if body is None else jsontext.dumps(body).encode()
        connection = self._send("POST", path, query, data, headers)
        from runtime.cli.connection import run_exchange, session  # noqa: F401 - what serves the stream loads while the daemon works

        return _accepted(connection.answer("POST"))

    def connect(self) -> HttpConnection:
        """Return a new connection."""
        name = (
            "localhost" if self.endpoint.host.startswith("unix:") else self.endpoint.host.partition("://")[2]
        )
        return HttpConnection(connect(self.endpoint), name.partition("/")[0].rpartition("@")[2])


def pairs(query: "Mapping[str, Value] | None") -> "list[tuple[str, str]]":
    """Turn a query into names and texts."""
    found: list[tuple[str, str]] = []
    for name, value in (query or {}).items():
        if value is True:
            found.append((name, "1"))
        elif isinstance(value, list):
            found.extend((name, one) for one in value)
        elif value is not None and value is not False:
            found.append((name, str(value)))
    return found


def _accepted(answer: Answer) -> Answer:
    if answer.status >= 400:
        raise refused(answer)
    return answer


def refused(answer: Answer) -> DaemonError:
    """Return the error in an answer; close its connection."""
    text = answer.read().decode("utf-8", "replace").strip()
    answer.connection.close()
    try:
        document = jsontext.loads(text)
        message = str(document["message"])
    except (ValueError, KeyError, TypeError):
        message = text or f"the daemon answered with status {answer.status}"
    return DaemonError(message, answer.status)


def filters(words: "list[str]", **more: "list[str]") -> "str | None":
    """`--filter name=value` words → the API's form; None without any."""
    found: dict[str, dict[str, bool]] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            from runtime.cli.errors import misuse

            raise misuse("--filter", word, "write NAME=VALUE")
        found.setdefault(name.strip().lower(), {})[value.strip()] = True
    for name, values in more.items():
        found.setdefault(name, {}).update(dict.fromkeys(values, True))
    return jsontext.dumps(found) if found else None
