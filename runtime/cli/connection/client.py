"""Find the daemon, connect to it, and send requests; refusals are DaemonError with the daemon's message."""

from runtime.cli.connection import jsontext
from runtime.cli.connection.endpoint import (
    DEFAULT_HOST,
    FORMS,
    DaemonEndpoint,
    config_directory,
    docker_directory,
    environment,
    read_file,
    unreachable,
)
from runtime.cli.connection.http import Answer, HttpConnection, target
from runtime.cli.errors import CliError, DaemonError, misuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any

Value = str | int | bool | list[str] | None
Query = dict[str, Value]
"""Query parameters: None and False are left out, True is 1, a list is repeated."""


# ---- the daemon -------------------------------------------------------------------------------------------


def find(host: str = "", context: str = "", tls: "dict[str, str] | None" = None) -> DaemonEndpoint:
    """Return the endpoint: -H or -c, NN_HOST, DOCKER_HOST, NN_CONTEXT, DOCKER_CONTEXT, `context use`.

    tls: what flags set, by DaemonEndpoint's fields.
    """
    if host and context:
        raise CliError("use either -H or -c: both name a daemon")
    if not host and context in ("", "default"):
        host = environment("NN_HOST", "DOCKER_HOST")
    if host:
        found = DaemonEndpoint(host)
        _tls_of_environment(found)
    else:
        found = _of_context(context or environment("NN_CONTEXT", "DOCKER_CONTEXT"))
    for name, value in (tls or {}).items():
        found.tls = True
        setattr(found, name, value if name in ("ca", "cert", "key") else value == "true")
    return found


def _of_context(name: str) -> DaemonEndpoint:
    if not name:
        name = (read_file(config_directory() + "/current") or b"").decode().strip()
    if name in ("", "default"):
        return DaemonEndpoint(DEFAULT_HOST)
    from runtime.cli.connection import context_store

    return context_store.load(name).endpoint()


def _tls_of_environment(found: DaemonEndpoint) -> None:
    if environment("DOCKER_TLS_VERIFY", "DOCKER_TLS") and found.host.startswith("tcp://"):
        directory = environment("DOCKER_CERT_PATH") or docker_directory()
        found.tls = True
        found.verify = bool(environment("DOCKER_TLS_VERIFY"))
        found.ca, found.cert, found.key = (f"{directory}/{name}.pem" for name in ("ca", "cert", "key"))


def connect(endpoint: DaemonEndpoint) -> "_socket.socket":
    """Return a plain socket connected to the daemon; each direction can be shut down by itself."""
    scheme, _, rest = endpoint.host.partition("://")
    if scheme != "unix":
        from runtime.cli.connection import dial

        return dial.connect(endpoint, scheme, rest)
    if not rest.startswith("/"):
        raise misuse("address", endpoint.host, FORMS)
    import _socket

    sock = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM | _socket.SOCK_CLOEXEC)
    try:
        sock.connect(rest)
    except OSError as error:
        sock.close()
        raise unreachable(endpoint, str(error.strerror)) from error
    return sock


def preconnect() -> "tuple[DaemonEndpoint | None, _socket.socket | None]":
    """Connect early, so that the daemon accepts while the rest of `nn` loads: the endpoint and its socket.

    Each is None where that fails or may take long; the first request then tries again and reports why.
    """
    endpoint = None
    try:
        endpoint = find()
        return endpoint, connect(endpoint) if endpoint.host.startswith("unix:") else None
    except CliError:
        return endpoint, None


# ---- requests ---------------------------------------------------------------------------------------------


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
