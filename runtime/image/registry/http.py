"""HTTP requests to any host, over urllib3.

Redirects, credentials and retries belong to session.py. urllib3's own redirects and retries stay off, since
they would send credentials to other hosts.
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
from runtime.image.registry.registry_errors import ConnectionFailedError, RegistryDataError, RegistryError
from runtime.image.registry.transfer import TransferMeter

_DRAIN = 64 << 10


class RequestBody(NamedTuple):
    """A request's body: its size in bytes, and a function that yields its pieces, once per attempt."""

    size: int
    pieces: Callable[[], Iterable[bytes]]

    @classmethod
    def of(cls, data: bytes) -> RequestBody:
        """Make a body of bytes in memory."""
        return cls(len(data), lambda: (data,))


class HttpClient:
    """The connections of one transfer. Thread-safe."""

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
        """Send one request and return the response once its head has arrived.

        count: called with the size of each piece sent. Raises ConnectionFailedError, TransferCancelledError.
        """
        self.cancel.check()
        parts = urlsplit(url)
        every = {"User-Agent": "ninetynine", "Accept-Encoding": "identity", **headers}
        if body is not None:
            every["Content-Length"] = str(body.size)
        with self.raising_ours(method, url):
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
        """Close all idle connections."""
        with self._lock:
            for pool in self._pools.values():
                pool.close()
            self._pools.clear()

    @contextlib.contextmanager
    def raising_ours(self, method: str, url: str) -> Iterator[None]:
        """Convert exceptions of urllib3 and sockets into our errors."""
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
    """A response whose head has arrived. Ended by document(), close() or its context manager."""

    def __init__(self, http: HttpClient, raw: Any, method: str, url: str) -> None:
        self._http, self._raw = http, raw
        self.method, self.url = method, url
        self.status: int = raw.status
        self.headers: Mapping[str, str] = raw.headers

    @property
    def length(self) -> int | None:
        """The `Content-Length`, None when the body is chunked or ends with the connection."""
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 19 else None

    def read1(self, most: int) -> bytes:
        """Return available bytes, b"" at the end. Raises ConnectionFailedError, TransferCancelledError."""
        with self._http.raising_ours(self.method, self.url):
            data: bytes = self._raw.read1(most) or b""
        self._http.cancel.check()
        return data

    def document(self, limit: int, what: str, digest: str = "") -> bytes:
        """Read the whole body. digest: the blob's, for the transfer's statistics.

        Raises RegistryDataError beyond `limit` bytes, ConnectionFailedError when it is too slow.
        """
        deadline = time.monotonic() + self._http.options.answer_s
        found = bytearray()
        try:
            while (self.length or 0) <= limit >= len(found):
                if time.monotonic() > deadline:
                    raise ConnectionFailedError(f"{what} comes too slowly; try again later")
                data = self.read1(_DRAIN)
                if not data:
                    return bytes(found)
                found += data
                self._http.meter.received(len(data), digest)
        except RegistryError:
            self._raw.close()
            raise
        self._raw.close()
        raise RegistryDataError(f"{what} is larger than {limit} bytes; refused, do not trust this registry")

    def close(self) -> None:
        """End the response; its connection is reused if little is left to read. Idempotent."""
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
