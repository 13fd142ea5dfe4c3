"""Search repositories: with Docker Hub's search, or in another registry's catalog."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import msgspec

from runtime.image.references import HUB, parse_reference
from runtime.image.registry.credentials import Credential
from runtime.image.registry.error_responses import clean, error_from
from runtime.image.registry.registry_errors import RegistryDataError

if TYPE_CHECKING:
    from runtime.image.registry.cancel import CancelToken
    from runtime.image.registry.client import RegistryClient
    from runtime.image.registry.session import RegistrySession

_HUB_SEARCH = "https://index.docker.io/v1/search"
_CATALOG_PAGE = 1000


class SearchResult(msgspec.Struct, frozen=True, kw_only=True):
    """One repository, as in Docker's API. Only Hub gives more than the name."""

    name: str
    description: str = ""
    star_count: int = 0
    is_official: bool = False
    is_automated: bool = False


class _HubAnswer(msgspec.Struct, frozen=True, kw_only=True):
    results: list[SearchResult]


def search(
    client: RegistryClient,
    term: str,
    limit: int = 25,
    *,
    credential: Credential | None = None,
    cancel: CancelToken | None = None,
) -> list[SearchResult]:
    """Find at most `limit` repositories for `term`, which may begin with a registry's host.

    Raises RegistryError, ImageReferenceError for an invalid host.
    """
    host, wanted = _split(term)
    with client.session(host, credential, cancel) as session:
        if host == HUB:
            return _hub(session, wanted, limit)
        return [SearchResult(name=f"{host}/{name}") for name in _listed(session) if wanted in name][:limit]


def _split(term: str) -> tuple[str, str]:
    """Return the registry and the term, which may be part of a name (`ubuntu-`)."""
    first, slash, rest = term.partition("/")
    host = parse_reference(f"{first}/any").host if slash else HUB
    return (HUB, term.removeprefix("docker.io/").removeprefix("library/")) if host == HUB else (host, rest)


def _hub(session: RegistrySession, term: str, limit: int) -> list[SearchResult]:
    query = urlencode({"q": term, "n": limit})
    with session.http.send("GET", f"{_HUB_SEARCH}?{query}", {}) as answer:
        if answer.status != 200:
            raise error_from(answer)
        data = answer.document(session.http.options.max_document, "search result")
    try:
        results = msgspec.json.decode(data, type=_HubAnswer).results
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise _malformed(error) from error
    return [
        msgspec.structs.replace(result, name=clean(result.name), description=clean(result.description))
        for result in results[:limit]
    ]


def _listed(session: RegistrySession) -> list[str]:
    where = f"/v2/_catalog?n={_CATALOG_PAGE}"
    with session.ask("GET", where, scopes=("registry:catalog:*",)) as answer:
        data = answer.document(session.http.options.max_document, "list of repositories")
    try:
        document: Any = msgspec.json.decode(data)
        return [str(name) for name in document["repositories"]]
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError, TypeError, KeyError) as error:
        raise _malformed(error) from error


def _malformed(error: Exception) -> RegistryDataError:
    return RegistryDataError(f"search result is malformed: {error}; ask the registry's operator")
