"""HTTP to any host: one request, one answer.

What is above (redirects, credentials, attempts) is session.py's. Below is urllib3; its own redirects and
retries stay off, because both would send what must not go to another host.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError

from runtime.image.registry.cancel import CancelToken
from runtime.image.registry.connection_errors import connection_error
from runtime.image.registry.connections import new_pool
from runtime.image.registry.options import RegistryOptions
from runtime.image.registry.registry_errors import ConnectionFailedError, LyingRegistryError, RegistryError
from runtime.image.registry.transfer import TransferMeter

_DRAIN = 64 << 10


class RequestBody(NamedTuple):
    """What a request carries: its size in bytes, and who makes its pieces, anew for each attempt."""

    size: int
    pieces: Callable[[], Iterable[bytes]]

    @classmethod
    def of(cls, data: bytes) -> RequestBody:
        """A body that is in memory."""
        return cls(len(data), lambda: (data,))


class HttpClient:
    """The connections of one transfer. Used by several threads."""

    def __init__(self, options: RegistryOptions, cancel: CancelToken, meter: TransferMeter) -> None:
        self.options, self.cancel, self.meter = options, cancel, meter
        self._pools: dict[tuple[str, str], urllib3.HTTPConnectionPool] = {}
        self._lock = threading.Lock()

    def send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: RequestBody | None = None,
        *,
        count: Callable[[int], None] | None = None,
    ) -> HttpResponse:
        """Send one request and return the answer as soon as its head is there.

        count: told of the body's bytes as they go. Raises ConnectionFailedError, TransferCancelledError.
        """
        self.cancel.check()
        parts = urlsplit(url)
        every = {"User-Agent": "ninetynine", "Accept-Encoding": "identity", **headers}
        if body is not None:
            every["Content-Length"] = str(body.size)
        with self.worded(method, url):
            raw = self._pool(parts.scheme, parts.netloc).urlopen(
                method,
                (parts.path or "/") + (f"?{parts.query}" if parts.query else ""),
                body=self._pieces(body, count or self.meter.sent) if body is not None and body.size else None,
                headers=every,
                retries=False,
                redirect=False,
                assert_same_host=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=self.options.connect_s, read=self.options.read_s),
            )
        return HttpResponse(self, raw, method, url)

    def close(self) -> None:
        """Close all connections that nobody uses."""
        with self._lock:
            for pool in self._pools.values():
                pool.close()
            self._pools.clear()

    @contextlib.contextmanager
    def worded(self, method: str, url: str) -> Iterator[None]:
        """Turn what urllib3 and sockets raise into our own errors."""
        try:
            yield
        except (HTTPError, OSError, ValueError) as error:
            self.cancel.check()
            raise connection_error(method, url, error) from error

    def _pieces(self, body: RequestBody, count: Callable[[int], None]) -> Iterator[bytes]:
        for piece in body.pieces():
            self.cancel.check()
            yield piece
            count(len(piece))

    def _pool(self, scheme: str, host: str) -> urllib3.HTTPConnectionPool:
        with self._lock:
            pool = self._pools.get((scheme, host))
            if pool is None:
                pool = self._pools[scheme, host] = new_pool(scheme, host, self.options, self.cancel)
            return pool


class HttpResponse:
    """An answer whose head has come. document() or close() end it; a context manager closes it."""

    def __init__(self, wire: HttpClient, raw: Any, method: str, url: str) -> None:
        self._wire, self._raw = wire, raw
        self.method, self.url = method, url
        self.status: int = raw.status
        self.headers: Mapping[str, str] = raw.headers

    @property
    def length(self) -> int | None:
        """What `Content-Length` says, None where the body is chunked or ends with the connection."""
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    def read1(self, most: int) -> bytes:
        """Return bytes as they come, b"" at the end. Raises ConnectionFailedError, TransferCancelledError."""
        with self._wire.worded(self.method, self.url):
            data: bytes = self._raw.read1(most) or b""
        self._wire.cancel.check()
        return data

    def document(self, limit: int, what: str, digest: str = "") -> bytes:
        """Read the whole body. digest: of the blob that it is, for the count.

        Raises LyingRegistryError beyond `limit` bytes, ConnectionFailedError when it drips.
        """
        deadline = time.monotonic() + self._wire.options.answer_s
        found = bytearray()
        try:
            while (self.length or 0) <= limit >= len(found):
                if time.monotonic() > deadline:
                    raise ConnectionFailedError(f"{what} comes too slowly; try again later")
                data = self.read1(_DRAIN)
                if not data:
                    return bytes(found)
                found += data
                self._wire.meter.received(len(data), digest)
        except RegistryError:
            self._raw.close()
            raise
        self._raw.close()
        raise LyingRegistryError(
            f"{what} is larger than {limit} bytes; refused, such a registry is not to be trusted"
        )

    def close(self) -> None:
        """Have done with it; its connection is used again where little is left to read. Idempotent."""
        left = self._raw.length_remaining
        small = left <= _DRAIN if left is not None else self.status >= 300
        if small and not self._raw.closed:
            with contextlib.suppress(RegistryError):
                self.document(_DRAIN, "answer")
        self._raw.close()

    def __enter__(self) -> HttpResponse:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
