"""Connect to a daemon by TCP, TLS or ssh.

TLS and ssh end in a socket pair, so that the rest of nn handles plain sockets only. A thread carries the
bytes of TLS. Python's TLS sockets cannot be half-closed, so close_notify is sent by hand.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import subprocess
import threading

from runtime.cli.connection.endpoint import FORMS, environment, unreachable
from runtime.cli.errors import misuse

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from runtime.cli.connection.endpoint import DaemonEndpoint

_PIECE = 1 << 16
_REMOTE = (
    "if command -v nn >/dev/null; then exec nn system dial-stdio; else exec docker system dial-stdio; fi"
)


def connect(endpoint: DaemonEndpoint, scheme: str, rest: str) -> _socket.socket:
    """Return a plain socket to `endpoint`, which is scheme://rest. CliError when it cannot be reached."""
    if scheme in ("tcp", "http", "https") and rest:
        name, port = _split(endpoint, rest, 2376 if endpoint.tls else 2375)
        try:
            plain = socket.create_connection((name, port), timeout=30)
            plain.settimeout(None)
            plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            secure = endpoint.tls or scheme == "https"
            return _over_tls(plain, endpoint, name) if secure else _bare(plain)
        except OSError as error:
            raise unreachable(endpoint, str(error.strerror or error)) from error
    if scheme == "ssh" and rest:
        return _over_ssh(endpoint, rest)
    raise misuse("address", endpoint.host, FORMS)


def _bare(sock: socket.socket) -> _socket.socket:
    import _socket

    return _socket.socket(sock.family, sock.type, sock.proto, sock.detach())


def _split(endpoint: DaemonEndpoint, rest: str, port: int) -> tuple[str, int]:
    """`host`, `host:1`, `[::1]:1`, each with a path that is ignored → host, port."""
    place = rest.partition("/")[0]
    name, colon, number = place.rpartition(":")
    if not colon or place.endswith("]"):
        name, number = place, str(port)
    if not number.isdecimal() or not name:
        raise misuse("address", endpoint.host, FORMS)
    return name.strip("[]"), int(number)


# ---- TLS -------------------------------------------------------------------------------------------------


def _over_tls(plain: socket.socket, endpoint: DaemonEndpoint, name: str) -> _socket.socket:
    context = ssl.create_default_context(cafile=endpoint.ca or None)
    context.verify_flags &= (
        ~ssl.VERIFY_X509_STRICT
    )  # the default since 3.13; it refuses certificates that docker accepts
    if not endpoint.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if endpoint.cert:
        context.load_cert_chain(endpoint.cert, endpoint.key or None)
    ours, theirs = socket.socketpair()
    tls = _Tls(plain, theirs, context, name)
    tls.handshake()
    threading.Thread(target=tls.carry, name="nn-tls", daemon=True).start()
    return _bare(ours)


class _Tls:
    """Carries TLS between a TCP socket (outer) and a plain one (inner)."""

    def __init__(
        self, outer: socket.socket, inner: socket.socket, context: ssl.SSLContext, name: str
    ) -> None:
        self.outer, self.inner = outer, inner
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name)

    def handshake(self) -> None:
        """Do the TLS handshake. OSError (ssl.SSLError) when it fails."""
        while True:
            try:
                self.tls.do_handshake()
                self._flush()
                return
            except ssl.SSLWantReadError:
                self._flush()
                self._receive()

    def _flush(self) -> None:
        data = self.outgoing.read()
        if data:
            self.outer.sendall(data)

    def _receive(self) -> bool:
        data = self.outer.recv(_PIECE)
        if data:
            self.incoming.write(data)
        else:
            self.incoming.write_eof()
        return bool(data)

    def carry(self) -> None:
        """Move bytes until the daemon's side ends."""
        with contextlib.suppress(OSError), self.outer, self.inner:
            waiting = [self.outer, self.inner]
            while self._deliver():
                ready = select.select(waiting, [], [])[0]
                if self.inner in ready and not self._take():
                    waiting.remove(self.inner)
                if self.outer in ready:
                    self._receive()

    def _take(self) -> bool:
        data = self.inner.recv(_PIECE)
        if data:
            self.tls.write(data)
        else:
            with contextlib.suppress(ssl.SSLWantReadError):
                self.tls.unwrap()  # puts close_notify into `outgoing`; the daemon may still write
        self._flush()
        return bool(data)

    def _deliver(self) -> bool:
        """Pass on what can be decrypted; False at the end."""
        try:
            while data := self.tls.read(_PIECE):
                self.inner.sendall(data)
        except ssl.SSLWantReadError:
            self._flush()
            return True
        except ssl.SSLError:
            pass
        return False


# ---- ssh -------------------------------------------------------------------------------------------------


def _over_ssh(endpoint: DaemonEndpoint, rest: str) -> _socket.socket:
    """Run `nn system dial-stdio` (or docker's) there by ssh, whose stdin and stdout are the connection."""
    place = rest.partition("/")[0]
    name, _, port = place.rpartition(":") if place.rpartition(":")[2].isdecimal() else (place, "", "")
    if not name or name.startswith("-"):
        raise misuse("address", endpoint.host, FORMS)
    line = [environment("NN_SSH") or "ssh", *(("-p", port) if port else ()), "-T", "--", name, _REMOTE]
    ours, theirs = socket.socketpair()
    try:
        subprocess.Popen(line, stdin=theirs.fileno(), stdout=theirs.fileno(), start_new_session=True)
    except OSError as error:
        raise unreachable(endpoint, f"{line[0]}: {error.strerror}") from error
    theirs.close()
    return _bare(ours)
