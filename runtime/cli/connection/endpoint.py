"""Which daemon is asked: `-H` or `-c`, NN_HOST, DOCKER_HOST, NN_CONTEXT, DOCKER_CONTEXT, `context use`."""

import posix

from runtime.cli.errors import CliError, misuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket
    from typing import Any

DEFAULT_HOST = "unix:///run/ninetynine/nnd.sock"
FORMS = "write unix:///PATH, tcp://HOST[:PORT] or ssh://[USER@]HOST[:PORT]"


class Endpoint:
    """A daemon's address. ca, cert, key: PEM files; verify: its certificate must fit. context: its name."""

    __slots__ = ("ca", "cert", "context", "host", "key", "tls", "verify")

    def __init__(self, host: str, *, context: str = "default") -> None:
        self.host = host
        self.context = context
        self.tls = False
        self.verify = True
        self.ca = self.cert = self.key = ""


def environment(*names: str) -> str:
    """Return the first of the variables that is set and not empty, else ""."""
    for name in names:
        value = posix.environ.get(name.encode())
        if value:
            return value.decode("utf-8", "surrogateescape")
    return ""


def config_directory() -> str:
    """Return where contexts are kept: NN_CONFIG, else the user's configuration directory."""
    own = environment("NN_CONFIG")
    if own:
        return own
    base = environment("XDG_CONFIG_HOME") or (environment("HOME") or "/root") + "/.config"
    return base + "/ninetynine"


def docker_directory() -> str:
    """Return where docker's config.json lies, which both clients read."""
    return environment("DOCKER_CONFIG") or (environment("HOME") or "/root") + "/.docker"


def docker_setting(name: str) -> "Any":
    """Return what docker's config.json says of a name, None for nothing. ValueError: it cannot be read."""
    try:
        data = read_file(docker_directory() + "/config.json")
    except OSError as error:
        raise ValueError(str(error.strerror)) from error
    if not data or f'"{name}"'.encode() not in data:
        return None
    from runtime.cli.connection import jsontext

    found = jsontext.loads(data)
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    return found.get(name)


def docker_text(name: str) -> str:
    """Return the text that docker's config.json has for a name; "" for none, and where it cannot be read."""
    try:
        found = docker_setting(name)
    except ValueError:
        return ""
    return found if isinstance(found, str) else ""


def read_file(path: str) -> "bytes | None":
    """Return the bytes of a small file, None where there is none."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return posix.read(fd, 1 << 20)
    finally:
        posix.close(fd)


def find(host: str = "", context: str = "", tls: "dict[str, str] | None" = None) -> Endpoint:
    """Return the endpoint that flags and environment ask for. tls: what flags say, by Endpoint's fields."""
    if host and context:
        raise CliError("-H and -c both name a daemon; leave one of them away")
    if not host and context in ("", "default"):
        host = environment("NN_HOST", "DOCKER_HOST")
    if host:
        found = Endpoint(host)
        _tls_of_environment(found)
    else:
        found = _of_context(context or environment("NN_CONTEXT", "DOCKER_CONTEXT"))
    for name, value in (tls or {}).items():
        found.tls = True
        setattr(found, name, value if name in ("ca", "cert", "key") else value == "true")
    return found


def _of_context(name: str) -> Endpoint:
    if not name:
        name = (read_file(config_directory() + "/current") or b"").decode().strip()
    if name in ("", "default"):
        return Endpoint(DEFAULT_HOST)
    from runtime.cli.verbs import contexts

    return contexts.load(name).endpoint()


def _tls_of_environment(found: Endpoint) -> None:
    if environment("DOCKER_TLS_VERIFY", "DOCKER_TLS") and found.host.startswith("tcp://"):
        directory = environment("DOCKER_CERT_PATH") or docker_directory()
        found.tls = True
        found.verify = bool(environment("DOCKER_TLS_VERIFY"))
        found.ca, found.cert, found.key = (f"{directory}/{name}.pem" for name in ("ca", "cert", "key"))


def connect(endpoint: Endpoint) -> "_socket.socket":
    """Return a socket connected to the daemon: on every way a plain one that can be shut down by half."""
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


def unreachable(endpoint: Endpoint, cause: str) -> CliError:
    """Return the error of a daemon that does not answer."""
    return CliError(
        f"connect to the daemon at {endpoint.host}: {cause}; "
        "start nnd, or choose another with -H or `nn context use`"
    )
