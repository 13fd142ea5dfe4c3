"""Parse and open the daemon's addresses: `unix:///PATH`, `tcp://HOST:PORT`, `fd://` (systemd's sockets)."""

from __future__ import annotations

import ipaddress
import os
import shutil
import socket
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from runtime.engine.errors import BadParameterError, EngineError

PLAIN_PORT, TLS_PORT = 2375, 2376
_BACKLOG = 1024
_FIRST_FD = 3


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """One address. path: of a unix socket; host, port: of TCP."""

    kind: Literal["unix", "tcp", "fd"]
    path: str = ""
    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if self.kind == "unix":
            return f"unix://{self.path}"
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{shown}:{self.port}" if self.kind == "tcp" else "fd://"

    @property
    def is_local(self) -> bool:
        """Whether only this host can reach it."""
        if self.kind != "tcp" or self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


def parse_address(text: str, *, tls: bool = False) -> Address:
    """Parse a `--host`. Raises BadParameterError."""
    kind, _, rest = text.partition("://")
    if kind == "unix" and rest.startswith("/"):
        return Address(kind="unix", path=rest)
    if kind == "fd":
        return Address(kind="fd")
    if kind == "tcp":
        try:
            parts = urlsplit(text)
            port = parts.port if parts.port is not None else TLS_PORT if tls else PLAIN_PORT
            return Address(kind="tcp", host=parts.hostname or "127.0.0.1", port=port)
        except ValueError:
            pass
    raise BadParameterError(f"--host {text}: write unix:///PATH, tcp://HOST:PORT or fd://")


def listen(address: Address, *, group: str = "") -> list[socket.socket]:
    """Return the listening sockets of an address. group: may use a unix socket, as root may.

    A socket file that nobody listens on is replaced. Raises EngineError.
    """
    try:
        if address.kind == "unix":
            return [_listen_unix(Path(address.path), group)]
        return _listen_tcp(address) if address.kind == "tcp" else _passed()
    except OSError as error:
        raise EngineError(
            f"listen on {address}: {error.strerror or error}; give another --host, or free that one"
        ) from error


def _listen_unix(path: Path, group: str) -> socket.socket:
    path.parent.mkdir(parents=True, exist_ok=True)
    _replace_stale(path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o117)
    try:
        sock.bind(os.fspath(path))
        if group:
            shutil.chown(path, group=group)
        sock.listen(_BACKLOG)
    except LookupError as error:
        sock.close()
        path.unlink()
        raise EngineError(f"--group {group}: no such group; create it with groupadd") from error
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(mask)
    return sock


def _replace_stale(path: Path) -> None:
    try:
        if not stat.S_ISSOCK(path.stat().st_mode):
            raise EngineError(f"listen on {path}: the file exists and is not a socket; give another --host")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(os.fspath(path))
        except ConnectionRefusedError:
            path.unlink(missing_ok=True)
            return
    raise EngineError(f"listen on {path}: another daemon answers there; stop it, or give another --host")


def shown(address: Address, sockets: Sequence[socket.socket]) -> str:
    """Return the address to connect to: port 0 is replaced by the port that was chosen."""
    if address.kind == "tcp" and not address.port and sockets:
        address = msgspec.structs.replace(address, port=sockets[0].getsockname()[1])
    return str(address)


def _listen_tcp(address: Address) -> list[socket.socket]:
    """Port 0 stands for a free port, the same for IPv4 and IPv6."""
    found: list[socket.socket] = []
    for family, kind, protocol, _, where in socket.getaddrinfo(
        address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        sock = socket.socket(family, kind, protocol)
        found.append(sock)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            port = where[1] or (found[0].getsockname()[1] if sock is not found[0] else 0)
            sock.bind((where[0], port, *where[2:]))
            sock.listen(_BACKLOG)
        except BaseException:
            for opened in found:
                opened.close()
            raise
    return found


def _passed() -> list[socket.socket]:
    """Return the sockets that systemd passed to this process, as sd_listen_fds(3) does."""
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        raise EngineError("listen on fd://: no socket was passed; start nnd from a systemd socket unit")
    count = int(os.environ.get("LISTEN_FDS", "0"))
    return [socket.socket(fileno=fd) for fd in range(_FIRST_FD, _FIRST_FD + count)]
