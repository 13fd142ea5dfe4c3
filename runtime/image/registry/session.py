"""One registry, as one user, for one transfer: attempts, redirects, and who gets to see the credentials."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from urllib.parse import urljoin, urlsplit

from runtime.image.references import HUB
from runtime.image.registry.auth import Authenticator
from runtime.image.registry.credentials import Credential
from runtime.image.registry.error_responses import error_from
from runtime.image.registry.http import HttpClient, HttpResponse, RequestBody
from runtime.image.registry.registry_errors import (
    BusyRegistryError,
    ConnectionFailedError,
    RedirectRefusedError,
    shown,
)

_HUB_API = "registry-1.docker.io"
_REDIRECTS = 5
_MOVED = (301, 302, 303, 307, 308)
_LATER = (429, 500, 502, 503, 504)
_LONGEST_PAUSE_S = 30.0


class RegistrySession:
    """Requests to the registry `host` (as in names of images), by several threads. See open_session()."""

    def __init__(self, wire: HttpClient, host: str, credential: Credential | None, scheme: str) -> None:
        self.wire, self.host = wire, host
        self.scheme = scheme
        self.base = f"{scheme}://{_HUB_API if host == HUB else host}"
        self.auth = Authenticator(wire, credential)

    def ping(self) -> None:
        """Ask whether a registry is there, and how it wants to know us."""
        with self.wire.send("GET", f"{self.base}/v2/", {}) as answer:
            if answer.status == 401:
                self.auth.learn(answer.headers.get("WWW-Authenticate", ""))
            elif answer.status in _LATER:
                raise error_from(answer)

    def ask(
        self,
        method: str,
        where: str,
        *,
        scopes: Iterable[str],
        fine: tuple[int, ...] = (200,),
        headers: Mapping[str, str] | None = None,
        body: RequestBody | None = None,
        count: Callable[[int], None] | None = None,
        once: bool = False,
    ) -> HttpResponse:
        """Send a request to a path or address and return its answer, whose status is one of `fine`.

        once: it is not sent again when the connection breaks or the registry is busy. Raises
        RegistryAuthError, RegistryNotFoundError, ConnectionFailedError, RedirectRefusedError, RegistryError.
        """
        options, cancel = self.wire.options, self.wire.cancel
        url = self.target(f"{self.base}/", where)
        left = 1 if once else options.attempts
        pause = options.pause_s
        while True:
            left -= 1
            try:
                answer = self._follow(method, url, tuple(scopes), dict(headers or {}), body, count)
            except ConnectionFailedError as error:
                if error.final or not left:
                    raise
            except BusyRegistryError:  # the token server
                if not left:
                    raise
            else:
                if answer.status in fine:
                    return answer
                with answer:
                    if answer.status not in _LATER or not left:
                        raise error_from(answer)
                    pause = _asked_pause(answer) or pause
            cancel.sleep(pause)
            pause *= 2

    def target(self, current: str, where: str) -> str:
        """Return the absolute address of a `Location`; RedirectRefusedError where we do not go."""
        try:
            url = urljoin(current, where)
            why = self._refused(current, url)
        except ValueError:
            url, why = "something", "that is no address"
        if why:
            raise RedirectRefusedError(
                f"registry {self.host} points at {shown(url)[:200]}: {why}; refused, ask who runs it"
            )
        parts = urlsplit(url)
        return parts._replace(fragment="", netloc=parts.netloc.rpartition("@")[2]).geturl()

    def _refused(self, current: str, url: str) -> str:
        parts = urlsplit(url)
        _ = parts.port  # ValueError
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return "that is no web address"
        if parts.scheme == "http" and urlsplit(current).scheme == "https":
            return "it leads from TLS to plain HTTP"
        if parts.scheme == "http" and not self.wire.options.is_insecure(parts.netloc.rpartition("@")[2]):
            return "plain HTTP is only used with hosts listed as insecure"
        return ""

    def _follow(
        self,
        method: str,
        url: str,
        scopes: tuple[str, ...],
        headers: dict[str, str],
        body: RequestBody | None,
        count: Callable[[int], None] | None,
    ) -> HttpResponse:
        """Send, show credentials when asked, follow redirects. Only the registry itself sees credentials."""
        knocked = False
        moves = 0
        while True:
            home = _origin(url) == _origin(self.base)
            shows = self.auth.header(scopes) if home else ""
            every = headers | ({"Authorization": shows} if shows else {})
            answer = self.wire.send(method, url, every, body, count=count)
            if answer.status == 401 and home and not knocked:
                knocked = True
                with answer:
                    self.auth.learn(answer.headers.get("WWW-Authenticate", ""), scopes, shows)
                continue
            location = answer.headers.get("Location", "")
            stays = method in ("GET", "HEAD") or answer.status in (307, 308)
            if answer.status not in _MOVED or not location or not stays:
                return answer
            with answer:
                moves += 1
                if moves > _REDIRECTS:
                    raise RedirectRefusedError(
                        f"registry {self.host} points on for the {moves}th time, to {shown(location)[:200]}; "
                        "refused, ask who runs it"
                    )
                url = self.target(url, location)


def open_session(
    wire: HttpClient, host: str, credential: Credential | None, schemes: dict[str, str]
) -> RegistrySession:
    """Begin to talk to a registry. `schemes` keeps what each host speaks, for the next time.

    TLS first; plain HTTP follows where the host is loopback or listed as insecure, and nowhere else.
    """
    if host in schemes:
        return RegistrySession(wire, host, credential, schemes[host])
    tried = ("https", "http") if wire.options.is_insecure(host) else ("https",)
    for scheme in tried:
        session = RegistrySession(wire, host, credential, scheme)
        try:
            session.ping()
        except ConnectionFailedError as error:
            if scheme == tried[-1] or error.final:
                raise
            continue
        schemes[host] = scheme
        return session
    raise AssertionError("no scheme")


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _asked_pause(answer: HttpResponse) -> float:
    """Seconds that `Retry-After` asks for, within reason."""
    text = answer.headers.get("Retry-After", "")
    return min(float(text), _LONGEST_PAUSE_S) if text.isascii() and text.isdigit() else 0.0
