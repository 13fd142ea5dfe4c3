"""TLS for connections that may be half-closed.

asyncio's own TLS closes a connection when the client sends close_notify. Docker's clients send it at the end
of standard input and go on reading, so TLS is done here, between a plain transport and the protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from runtime.engine.errors import BadParameterError

_log = logging.getLogger(__name__)
_PIECE = 1 << 16
_HANDSHAKE_S = 30.0


def server_context(cert: Path, key: Path, ca: Path | None) -> ssl.SSLContext:
    """Return the context of a listening socket. ca: the CA of clients' certificates, None for any client.

    Raises BadParameterError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise BadParameterError(
            f"read certificate {cert} and key {key}: {error}; name them with --tlscert and --tlskey"
        ) from error
    if ca is not None:
        try:
            context.load_verify_locations(ca)
        except (OSError, ssl.SSLError) as error:
            raise BadParameterError(
                f"read the clients' authority {ca}: {error}; name it with --tlscacert"
            ) from error
        context.verify_mode = ssl.CERT_REQUIRED
    return context


class TlsProtocol(asyncio.Protocol):
    """The protocol of a new TLS connection; the inner protocol is made after the handshake."""

    def __init__(self, context: ssl.SSLContext, make: Callable[[], asyncio.Protocol]) -> None:
        self.context = context
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_side=True)
        self.plain: asyncio.Transport
        self._make = make
        self._inner: asyncio.Protocol | None = None
        self._transport: TlsTransport | None = None
        self._ended = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the client's hello, with a time limit."""
        assert isinstance(transport, asyncio.Transport)
        self.plain = transport
        self._timer = asyncio.get_running_loop().call_later(_HANDSHAKE_S, self._too_late)

    def data_received(self, data: bytes) -> None:
        """Decrypt received bytes; those that follow our own close_notify are dropped."""
        if self._transport is not None and self._transport.is_closing():
            return
        self.incoming.write(data)
        if self._inner is None and not self._shake_hands():
            return
        self._read()

    def eof_received(self) -> bool:
        """Treat the end of the TCP stream without close_notify as one."""
        return self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Hand it on."""
        self._stop_timer()
        if self._inner is not None:
            self._inner.connection_lost(exc)

    def pause_writing(self) -> None:
        """Hand it on."""
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Hand it on."""
        if self._inner is not None:
            self._inner.resume_writing()

    def flush(self) -> None:
        """Send the bytes that TLS has produced."""
        if self.outgoing.pending:
            self.plain.write(self.outgoing.read())

    def _shake_hands(self) -> bool:
        try:
            self.tls.do_handshake()
        except ssl.SSLWantReadError:
            self.flush()
            return False
        except ssl.SSLError as error:
            _log.warning("TLS handshake with %s failed: %s", self.plain.get_extra_info("peername"), error)
            self.flush()
            self.plain.close()
            return False
        self.flush()
        self._stop_timer()
        self._transport = TlsTransport(self)
        self._inner = self._make()
        self._inner.connection_made(self._transport)
        return True

    def _read(self) -> None:
        assert self._inner is not None
        while not self._ended:
            try:
                data = self.tls.read(_PIECE)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                data = b""
            except ssl.SSLError as error:
                _log.debug("TLS broke: %s", error)
                self.plain.abort()
                return
            if data:
                self._inner.data_received(data)
            elif not self._end() and self._transport is not None:
                self._transport.close()
        self.flush()

    def _end(self) -> bool:
        if self._ended or self._inner is None:
            return self._ended and self._inner is not None
        self._ended = True
        return bool(self._inner.eof_received())

    def _too_late(self) -> None:
        self.plain.abort()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class TlsTransport(asyncio.Transport):
    """The transport of the inner protocol."""

    def __init__(self, outer: TlsProtocol) -> None:
        super().__init__()
        self._outer = outer
        self._closing = False

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Encrypt and send."""
        if self._closing or not data:
            return
        try:
            view = memoryview(data)
            while view:
                view = view[self._outer.tls.write(view[:_PIECE]) :]
        except ssl.SSLError:
            self.abort()
            return
        self._outer.flush()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        """Encrypt and send all."""
        self.write(b"".join(list_of_data))

    def close(self) -> None:
        """Send close_notify and close once everything is sent."""
        if not self._closing:
            self._say_goodbye()
        self._outer.plain.close()

    def write_eof(self) -> None:
        """Send close_notify and half-close."""
        if not self._closing:
            self._say_goodbye()
            self._outer.plain.write_eof()

    def _say_goodbye(self) -> None:
        self._closing = True
        with contextlib.suppress(ssl.SSLError):  # the client's own is not waited for
            self._outer.tls.unwrap()
        self._outer.flush()

    def abort(self) -> None:
        """Close at once."""
        self._closing = True
        self._outer.plain.abort()

    def is_closing(self) -> bool:
        """Return whether nothing can be written any more."""
        return self._closing or self._outer.plain.is_closing()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return information about TLS or the connection below it."""
        if name == "sslcontext":
            return self._outer.context
        if name == "peercert":
            return self._outer.tls.getpeercert()
        return self._outer.plain.get_extra_info(name, default)

    def pause_reading(self) -> None:
        """Pause reading from the client."""
        self._outer.plain.pause_reading()

    def resume_reading(self) -> None:
        """Resume reading."""
        self._outer.plain.resume_reading()

    def is_reading(self) -> bool:
        """Return whether it reads."""
        return self._outer.plain.is_reading()

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the limits of the connection below."""
        self._outer.plain.set_write_buffer_limits(high, low)

    def get_write_buffer_size(self) -> int:
        """Return the number of bytes that are not sent yet."""
        return self._outer.plain.get_write_buffer_size()

    def can_write_eof(self) -> bool:
        """Return True: either direction can be closed by itself."""
        return True
