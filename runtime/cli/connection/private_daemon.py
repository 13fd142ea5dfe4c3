"""`nn --local`: start a daemon for this command alone, or join the one that another such command has started.

The daemon is runtime.api.private. It ends with the last command on its root, however that ends: each keeps a
connection, which the kernel closes with its process. ROOT/local holds the daemon's two sockets and its log; a
lock on the directory decides which command starts the daemon.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import sys
from pathlib import Path

from runtime.cli import packages
from runtime.cli.connection.client import Client
from runtime.cli.connection.endpoint import DaemonEndpoint, environment
from runtime.cli.connection.http import HttpConnection
from runtime.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

DEFAULT_ROOT = "/var/lib/ninetynine/runtime"
PLACE, REQUESTS, USERS, LOG = "local", "nnd.sock", "users.sock", "nnd.log"
_PACKAGES = __file__.removesuffix("/runtime/cli/connection/private_daemon.py")
_BACKLOG = 128


def need_root() -> None:
    """CliError for anyone but root."""
    if os.geteuid() != 0:
        raise CliError("--local needs root, for namespaces, mounts and cgroups; run it with sudo")


# ---- the daemon ------------------------------------------------------------------------------------------


class PrivateClient(Client):
    """Sends requests to a private daemon. leave() ends it, unless other commands use it.

    root: its state; "" is NN_ROOT or the usual place.
    """

    private = True

    def __init__(self, root: str = "") -> None:
        super().__init__(self._join)
        self.root = Path(root or environment("NN_ROOT") or DEFAULT_ROOT).absolute()
        self._user: socket.socket | None = None
        self._place = -1
        self._connections: list[HttpConnection] = []

    def connect(self) -> HttpConnection:
        """Return a new connection, which leave() closes."""
        self._connections.append(super().connect())
        return self._connections[-1]

    def _join(self) -> DaemonEndpoint:
        need_root()
        root = self.root
        try:
            root.mkdir(0o711, parents=True, exist_ok=True)
            (root / PLACE).mkdir(0o700, exist_ok=True)
            self._place = os.open(root / PLACE, os.O_RDONLY | os.O_DIRECTORY)
            self._user = _join(root, self._place)
        except OSError as error:
            raise CliError(f"open {root}: {error.strerror}; give a writable --root") from error
        return DaemonEndpoint(f"unix://{_short(self._place, REQUESTS)}")

    def leave(self) -> None:
        """Wait until the daemon and all it made are gone; return at once when other commands use it."""
        for connection in self._connections:  # the daemon waits for the reader of a stream that was cut off
            connection.close()
        if self._user is not None:
            with self._user, contextlib.suppress(OSError):
                self._user.shutdown(socket.SHUT_WR)
                self._user.recv(1)


def _short(place: int, name: str) -> str:
    """Return a path that fits into the 107 bytes of a socket's address, however long the root's is."""
    return f"/proc/self/fd/{place}/{name}"


def _join(root: Path, place: int) -> socket.socket:
    """Return a connection on which the daemon has sent its greeting. Start the daemon if none runs."""
    fcntl.flock(place, fcntl.LOCK_EX)
    try:
        while True:
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                user = _connected(place)
                if _greeted(user):
                    return user
                user.close()  # the daemon was just ending
                continue
            user = _start(root, place)
            if _greeted(user):
                return user
            raise CliError(_last_words(place))
    finally:
        fcntl.flock(place, fcntl.LOCK_UN)


def _connected(place: int) -> socket.socket:
    user = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        user.connect(_short(place, USERS))
    except BaseException:
        user.close()
        raise
    return user


def _greeted(user: socket.socket) -> bool:
    """Wait until the daemon is ready; False when it has ended."""
    try:
        return bool(user.recv(1))
    except ConnectionResetError:
        return False


def _start(root: Path, place: int) -> socket.socket:
    """Start a daemon and return its first user's connection, which was made before it started."""
    with _listening(place, REQUESTS) as requests, _listening(place, USERS) as users:
        user = _connected(place)
        # Without the site module, as nn itself; PYTHONPATH names the packages.
        line = [sys.executable, "-SP", "-m", "runtime.api.private", str(root / PLACE)]
        line += [str(sock.fileno()) for sock in (requests, users)]
        log = str(root / PLACE / LOG)
        files = (
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
        )
        os.posix_spawn(sys.executable, line, _environment(), file_actions=files, setsid=True)
        return user


@contextlib.contextmanager
def _listening(place: int, name: str) -> Iterator[socket.socket]:
    """Yield a listening socket for the daemon, in place of what an earlier one left there."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=place)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.bind(_short(place, name))  # only root may enter the directory
        sock.listen(_BACKLOG)
        sock.set_inheritable(True)
        yield sock


def _environment() -> dict[str, str]:
    """Return our environment, for proxies and the like, without what is meant for this process alone."""
    kept = {name: value for name, value in os.environ.items() if name != "NOTIFY_SOCKET"}
    packages.activate()
    return kept | {"PYTHONPATH": os.pathsep.join((_PACKAGES, *sys.path))}


def _last_words(place: int) -> str:
    """Return the last line of the daemon's log: why it ended."""
    lines = Path(_short(place, LOG)).read_text("utf-8", "replace").strip().splitlines()
    return lines[-1].removeprefix("nnd: ") if lines else "the private daemon was killed while it started"
