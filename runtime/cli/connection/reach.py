"""Find the daemon that flags and environment name, and connect to it."""

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
from runtime.cli.errors import CliError, misuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket


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
