"""A daemon's address, the environment, and where nn's and docker's configuration is kept."""

import posix

from runtime.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

DEFAULT_HOST = "unix:///run/ninetynine/nnd.sock"
FORMS = "write unix:///PATH, tcp://HOST[:PORT] or ssh://[USER@]HOST[:PORT]"


class DaemonEndpoint:
    """A daemon's address. ca, cert, key: PEM files. verify: check its certificate. context: its name."""

    __slots__ = ("ca", "cert", "context", "host", "key", "tls", "verify")

    def __init__(self, host: str, *, context: str = "default") -> None:
        self.host = host
        self.context = context
        self.tls = False
        self.verify = True
        self.ca = self.cert = self.key = ""


def environment(*names: str) -> str:
    """Return the first variable that is set and not empty, else ""."""
    for name in names:
        value = posix.environ.get(name.encode())
        if value:
            return value.decode("utf-8", "surrogateescape")
    return ""


def config_directory() -> str:
    """Return the directory of contexts: NN_CONFIG, else one in the user's configuration directory."""
    own = environment("NN_CONFIG")
    if own:
        return own
    base = environment("XDG_CONFIG_HOME") or (environment("HOME") or "/root") + "/.config"
    return base + "/ninetynine"


def docker_directory() -> str:
    """Return the directory of docker's config.json, which both clients read."""
    return environment("DOCKER_CONFIG") or (environment("HOME") or "/root") + "/.docker"


def docker_setting(name: str) -> "Any":
    """Return a setting of docker's config.json, None when it is not set. ValueError: it cannot be read."""
    try:
        data = read_file(docker_directory() + "/config.json")
    except OSError as error:
        raise ValueError(str(error.strerror)) from error
    if not data or f'"{name}"'.encode() not in data:
        return None
    from runtime.cli.connection import jsontext

    found = jsontext.loads(data)
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")
    return found.get(name)


def docker_text(name: str) -> str:
    """Return a text of docker's config.json; "" when it is not set or the file cannot be read."""
    try:
        found = docker_setting(name)
    except ValueError:
        return ""
    return found if isinstance(found, str) else ""


def read_file(path: str) -> "bytes | None":
    """Return the bytes of a small file, None when it does not exist."""
    try:
        fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    try:
        return posix.read(fd, 1 << 20)
    finally:
        posix.close(fd)


def unreachable(endpoint: DaemonEndpoint, cause: str) -> CliError:
    """Return the error for a daemon that cannot be reached."""
    return CliError(
        f"connect to the daemon at {endpoint.host}: {cause}; "
        "start nnd, or choose another with -H or `nn context use`"
    )
