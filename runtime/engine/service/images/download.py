"""Download files that a client names by URL, for ADD, `import` and remote contexts. Blocking."""

from __future__ import annotations

import contextlib
import email.utils
import http.client
import socket
import ssl
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from typing import Any, NamedTuple

from runtime.engine.errors import BadParameterError, EngineError
from runtime.image.layers.pipeline import Readable

_PATIENCE_S = 60.0


class Fetched(NamedTuple):
    """A download. name: the last part of the URL's path; modified: Unix seconds, 0 for unknown."""

    stream: Readable
    name: str
    modified: int
    media: str


def is_url(text: str) -> bool:
    """Say whether a source is a URL that can be fetched."""
    return text.startswith(("http://", "https://"))


@contextlib.contextmanager
def open_url(url: str) -> Iterator[Fetched]:
    """Open a URL for reading. BadParameterError for anything else; EngineError when the download fails."""
    parts = _parts(url)
    try:
        with _answer(url, parts) as answer:
            headers = answer.headers
            name = urllib.parse.unquote(parts.path.rpartition("/")[2])
            yield Fetched(answer, name, _seconds(headers["Last-Modified"]), headers.get_content_type())
    except (TimeoutError, ConnectionError, http.client.HTTPException) as error:  # in the middle of it
        raise _failed(url, parts, error) from error


def _answer(url: str, parts: urllib.parse.SplitResult) -> Any:
    request = urllib.request.Request(url, headers={"User-Agent": "ninetynine"})
    try:
        return urllib.request.urlopen(request, timeout=_PATIENCE_S)
    except urllib.error.HTTPError as error:
        raise EngineError(f"fetch {url}: the server answers {error.code} ({error.reason})") from error
    except (OSError, http.client.HTTPException, ValueError) as error:  # an URLError is an OSError
        raise _failed(url, parts, error) from error


def _failed(url: str, parts: urllib.parse.SplitResult, error: Exception) -> EngineError:
    reason = _reason(getattr(error, "reason", error), parts.netloc.rpartition("@")[2])
    return EngineError(f"fetch {url}: {reason}; is it right, and reachable from the daemon?")


def _parts(url: str) -> urllib.parse.SplitResult:
    try:
        parts = urllib.parse.urlsplit(url)
        fits = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets around no address, a port beyond 65535
        fits = False
    if not fits:
        raise BadParameterError(f"{url}: not a URL that can be fetched; give http:// or https://, or `-`")
    return parts


def _reason(error: object, host: str) -> str:
    """Return the reason; for a failed connection in docker's words, which clients look for."""
    if isinstance(error, socket.gaierror):
        return f"dial tcp: lookup {host}: {error.strerror}"
    if isinstance(error, OSError) and error.strerror and not isinstance(error, ssl.SSLError):
        return f"dial tcp {host}: {error.strerror.lower()}"
    return str(error)


def _seconds(text: str | None) -> int:
    try:
        return int(email.utils.parsedate_to_datetime(text).timestamp()) if text else 0
    except ValueError:
        return 0
