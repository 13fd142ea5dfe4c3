"""Authenticate to a registry: with nothing, a password, or a token from its token server."""

from __future__ import annotations

import base64
import threading
import time
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

import msgspec

from runtime.image.registry.challenge import Challenge, choose, parse_challenges
from runtime.image.registry.credentials import Credential
from runtime.image.registry.error_responses import error_from
from runtime.image.registry.http import HttpClient, RequestBody
from runtime.image.registry.registry_errors import RegistryAuthError, RegistryDataError, RegistryError

_CLIENT = "ninetynine"
_LONGEST = 1 << 20
_SHORTEST_LIFE_S = 60.0
_MARGIN_S = 10.0
Scopes = frozenset[str]


class BearerToken(NamedTuple):
    """A bearer token, the monotonic time until which it is used, and the refresh token, if any."""

    text: str
    until: float
    refresh: str = ""


class Authenticator:
    """Provides `Authorization` for one registry and user. Thread-safe."""

    def __init__(self, http: HttpClient, credential: Credential | None) -> None:
        self._http = http
        self._credential = credential
        self._challenge: Challenge | None = None
        self._tokens: dict[Scopes, BearerToken] = {}
        self._lock = threading.Lock()

    def header(self, scopes: Iterable[str]) -> str:
        """Return the value of `Authorization` for `scopes`, "" while the registry asks for none."""
        with self._lock:
            if self._challenge is None:
                return ""
            if self._challenge.scheme == "basic":
                return self._basic()
            wanted = frozenset(scopes)
            token = self._tokens.get(wanted)
            if token is None or time.monotonic() >= token.until:
                token = self._tokens[wanted] = self._fetch(self._challenge, wanted)
            return f"Bearer {token.text}"

    def learn(self, header: str, scopes: Iterable[str] = (), used: str = "") -> None:
        """Learn from a 401's challenge. used: the value that was refused; it is not used again.

        Raises RegistryAuthError when there is no way to authenticate.
        """
        chosen = choose(parse_challenges(header))
        if chosen is None:
            raise RegistryAuthError(
                "unauthorized: the registry offers neither password nor token login; ask its operator"
            )
        with self._lock:
            self._challenge = chosen
            wanted = frozenset(scopes)
            token = self._tokens.get(wanted)
            if token is not None and used == f"Bearer {token.text}":
                del self._tokens[wanted]

    def log_in(self) -> str:
        """Let the token server check the credentials; return an identity token if it gives one."""
        with self._lock:
            if self._challenge is None or self._challenge.scheme == "basic":
                return ""
            return self._fetch(self._challenge, frozenset(), offline=True).refresh

    # ---- passwords and tokens --------------------------------------------------------------------------

    def _basic(self) -> str:
        known = self._credential
        if known is None or not known.username:
            raise RegistryAuthError("no basic auth credentials; log in to the registry first")
        return "Basic " + base64.b64encode(f"{known.username}:{known.password}".encode()).decode()

    def _fetch(self, challenge: Challenge, scopes: Scopes, *, offline: bool = False) -> BearerToken:
        realm = self._realm(challenge)
        asked = challenge.parameters.get("scope", "").split(" ") if not scopes else []
        fields = [("service", challenge.parameters.get("service", ""))]
        fields += [("scope", scope) for scope in sorted({*scopes, *asked} - {""})]
        begun = time.monotonic()
        known = self._credential
        if known is not None and known.token:
            form = {"grant_type": "refresh_token", "refresh_token": known.token, "client_id": _CLIENT}
            answer = self._http.send(
                "POST",
                realm,
                {"Content-Type": "application/x-www-form-urlencoded"},
                RequestBody.of(urlencode(_joined(fields) | form).encode()),
            )
        else:
            fields += [("client_id", _CLIENT)] + ([("offline_token", "true")] if offline else [])
            headers = {}
            if known is not None and known.username:
                fields.append(("account", known.username))
                headers["Authorization"] = self._basic()
            query = urlencode([field for field in fields if field[1]])
            answer = self._http.send("GET", f"{realm}{'&' if '?' in realm else '?'}{query}", headers)
        with answer:
            if answer.status != 200:
                raise error_from(answer)
            return _read_token(answer.document(_LONGEST, "the token"), begun)

    def _realm(self, challenge: Challenge) -> str:
        """Return the token server's address. The password goes there, so plain HTTP needs permission."""
        realm = challenge.parameters.get("realm", "")
        try:
            parts = urlsplit(realm)
            allowed = parts.scheme == "https" or (
                parts.scheme == "http" and self._http.options.is_insecure(parts.netloc)
            )
            fits = allowed and bool(parts.hostname) and "@" not in parts.netloc and parts.port != 0
        except ValueError:
            fits = False
        if not fits:
            raise RegistryError(
                f"token server {realm[:200]!r}: credentials go to https addresses only; "
                "list its host as insecure if you trust the network"
            )
        return parts._replace(fragment="").geturl()


def _joined(fields: list[tuple[str, str]]) -> dict[str, str]:
    """Return a form's fields; several scopes are joined into one."""
    found: dict[str, str] = {}
    for name, value in fields:
        found[name] = f"{found[name]} {value}" if name in found else value
    return found


def _read_token(data: bytes, begun: float) -> BearerToken:
    try:
        document: Any = msgspec.json.decode(data)
        text = document.get("token") or document.get("access_token")
        life = float(document.get("expires_in") or _SHORTEST_LIFE_S)
        refresh = str(document.get("refresh_token") or "")
    except (msgspec.MsgspecError, RecursionError, AttributeError, TypeError, ValueError) as error:
        raise RegistryDataError(
            f"the token server's answer is malformed: {error}; ask its operator"
        ) from error
    if not isinstance(text, str) or not text or not text.isascii() or not text.isprintable():
        raise RegistryDataError(
            "authorization server did not include a token in the response; ask its operator"
        )
    life = life if 0 < life < 1e9 else _SHORTEST_LIFE_S
    return BearerToken(text, begun + life - min(_MARGIN_S, life / 2), refresh)
