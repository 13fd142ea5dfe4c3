"""A session with one registry: retries, redirects, and which hosts receive the credentials."""

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
    """Sends requests to the registry `host` (as in image names). Thread-safe. See open_session()."""

    def __init__(self, http: HttpClient, host: str, credential: Credential | None, scheme: str) -> None:
        self.http, self.host = http, host
        self.scheme = scheme
        self.base = f"{scheme}://{_HUB_API if host == HUB else host}"
        self.auth = Authenticator(http, credential)

    def ping(self) -> None:
        """Check that a registry answers, and learn how to authenticate."""
        with self.http.send("GET", f"{self.base}/v2/", {}) as answer:
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
        """Send a request to a path or URL and return the response; its status is one of `fine`.

        once: no retry when the connection breaks or the registry is busy. Raises
        RegistryAuthError, RegistryNotFoundError, ConnectionFailedError, RedirectRefusedError, RegistryError.
        """
        options, cancel = self.http.options, self.http.cancel
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
        """Return the absolute URL of a `Location`; RedirectRefusedError if it must not be followed."""
        try:
            url = urljoin(current, where)
            why = self._refused(current, url)
        except ValueError:
            url, why = "an invalid URL", "it cannot be parsed"
        if why:
            raise RedirectRefusedError(
                f"registry {self.host} redirects to {shown(url)[:200]}: {why}; refused, ask its operator"
            )
        parts = urlsplit(url)
        return parts._replace(fragment="", netloc=parts.netloc.rpartition("@")[2]).geturl()

    def _refused(self, current: str, url: str) -> str:
        parts = urlsplit(url)
        _ = parts.port  # ValueError
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return "not an HTTP URL"
        if parts.scheme == "http" and urlsplit(current).scheme == "https":
            return "it leads from TLS to plain HTTP"
        if parts.scheme == "http" and not self.http.options.is_insecure(parts.netloc.rpartition("@")[2]):
            return "plain HTTP is used only with hosts listed as insecure"
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
        """Send a request, authenticate when asked, follow redirects. Only the registry gets credentials."""
        authenticated = False
        moves = 0
        while True:
            home = _origin(url) == _origin(self.base)
            authorization = self.auth.header(scopes) if home else ""
            every = headers | ({"Authorization": authorization} if authorization else {})
            answer = self.http.send(method, url, every, body, count=count)
            if answer.status == 401 and home and not authenticated:
                authenticated = True
                with answer:
                    self.auth.learn(answer.headers.get("WWW-Authenticate", ""), scopes, authorization)
                continue
            location = answer.headers.get("Location", "")
            stays = method in ("GET", "HEAD") or answer.status in (307, 308)
            if answer.status not in _MOVED or not location or not stays:
                return answer
            with answer:
                moves += 1
                if moves > _REDIRECTS:
                    raise RedirectRefusedError(
                        f"registry {self.host} redirects {moves} times, now to {shown(location)[:200]}; "
                        "refused, ask its operator"
                    )
                url = self.target(url, location)


def open_session(
    http: HttpClient, host: str, credential: Credential | None, schemes: dict[str, str]
) -> RegistrySession:
    """Open a session with a registry. schemes: remembers each host's scheme for the next time.

    Tries TLS, then plain HTTP only if the host is loopback or listed as insecure.
    """
    if host in schemes:
        return RegistrySession(http, host, credential, schemes[host])
    tried = ("https", "http") if http.options.is_insecure(host) else ("https",)
    for scheme in tried:
        session = RegistrySession(http, host, credential, scheme)
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
    """Return the seconds of `Retry-After`, capped; 0 without one."""
    text = answer.headers.get("Retry-After", "")
    return min(float(text), _LONGEST_PAUSE_S) if text.isascii() and text.isdigit() else 0.0
