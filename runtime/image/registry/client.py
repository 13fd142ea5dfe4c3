"""The registry client: pull, push, log in, inspect. One per daemon; thread-safe."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterator
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec

from runtime.image.errors import ImageError
from runtime.image.references import HUB, Reference, parse_reference
from runtime.image.registry.cancel import CancelToken
from runtime.image.registry.credentials import HUB_KEY, Credential, key_of
from runtime.image.registry.error_responses import error_from
from runtime.image.registry.fetch import fetch_document, fetch_manifest, pull_scope
from runtime.image.registry.http import HttpClient
from runtime.image.registry.manifests import ManifestDocument, offers, read_manifest
from runtime.image.registry.options import RegistryOptions
from runtime.image.registry.parallel import SingleFlight
from runtime.image.registry.platforms import Platform, from_document
from runtime.image.registry.progress import Message, Progress, quiet
from runtime.image.registry.pull import Pull, Pulled, pull_denied
from runtime.image.registry.push import Push, Pushed
from runtime.image.registry.registry_errors import (
    ConnectionFailedError,
    RegistryAuthError,
    RegistryDataError,
    RegistryError,
    RegistryNotFoundError,
    TransferCancelledError,
)
from runtime.image.registry.session import RegistrySession, open_session
from runtime.image.registry.transfer import TransferMeter
from runtime.image.store.image_store import ImageStore

T = TypeVar("T")

log = logging.getLogger(__name__)

_MOST_TAGS = 10_000
_PAGE = 1000


class Distribution(msgspec.Struct, frozen=True, kw_only=True):
    """What a name refers to in a registry: its manifest or index, and the platforms."""

    document: ManifestDocument
    platforms: tuple[Platform, ...]


class RegistryClient:
    """Talks to registries. Every method blocks, takes a CancelToken, and raises RegistryError."""

    def __init__(self, options: RegistryOptions | None = None) -> None:
        self.options = options or RegistryOptions()
        self._schemes: dict[str, str] = {}
        self._single_flight = SingleFlight()

    @contextlib.contextmanager
    def session(
        self, host: str, credential: Credential | None = None, cancel: CancelToken | None = None
    ) -> Iterator[RegistrySession]:
        """Open a session with a registry (`host` as in image names); its scheme is remembered."""
        http = HttpClient(self.options, cancel or CancelToken(), TransferMeter())
        try:
            yield open_session(http, host, credential, self._schemes)
        except ConnectionFailedError:
            self._schemes.pop(host, None)
            raise
        finally:
            http.close()

    def pull(
        self,
        store: ImageStore,
        name: str,
        *,
        platform: str = "",
        credential: Credential | None = None,
        progress: Progress = quiet,
        cancel: CancelToken | None = None,
    ) -> Pulled:
        """Pull `name` (`repository[:tag][@digest]`) into the store, by default for this machine's platform.

        progress: called for each step, with Docker's messages, from several threads. Complete layers of a
        failed pull stay for the next one. Raises RegistryNotFoundError, RegistryDataError, ImageError.
        """
        reference = parse_reference(name).tagged()

        def work(session: RegistrySession) -> Pulled:
            return Pull(session, store, self._single_flight, progress, platform).run(reference)

        return self._read(reference.host, credential, cancel, work)

    def pull_all(
        self,
        store: ImageStore,
        repository: str,
        *,
        platform: str = "",
        credential: Credential | None = None,
        progress: Progress = quiet,
        cancel: CancelToken | None = None,
    ) -> list[Pulled]:
        """Pull every tag of a repository, one after the other."""
        name = parse_reference(repository)

        def work(session: RegistrySession) -> list[Pulled]:
            found = []
            try:
                tags = _tags(session, name)
            except (RegistryAuthError, RegistryNotFoundError) as error:
                raise pull_denied(name, error) from error
            for tag in tags:
                pull = Pull(session, store, self._single_flight, progress, platform)
                found.append(pull.run(msgspec.structs.replace(name, tag=tag, digest="")))
            return found

        return self._read(name.host, credential, cancel, work)

    def push(
        self,
        store: ImageStore,
        name: str,
        *,
        credential: Credential | None = None,
        progress: Progress = quiet,
        cancel: CancelToken | None = None,
    ) -> list[Pushed]:
        """Push `repository:tag`, or without a tag all tags of the repository in the store."""
        reference = parse_reference(name)
        progress(Message(status=f"The push refers to repository [{_full(reference)}]"))
        if reference.digest:
            raise RegistryError(
                f"push {name}: cannot push to a digest, which follows from the content; use a tag"
            )
        names = _names(store, reference)
        with self.session(reference.host, credential, cancel) as session:
            return [Push(session, store, reference.path, progress).run(name) for name in names]

    def inspect(
        self, name: str, *, credential: Credential | None = None, cancel: CancelToken | None = None
    ) -> Distribution:
        """Look up what a name refers to, without pulling it."""
        reference = parse_reference(name).tagged()

        def work(session: RegistrySession) -> Distribution:
            document = fetch_manifest(session, reference.path, reference.digest or reference.tag)
            if document.is_index:
                platforms = [platform for _, platform in offers(document, name) if platform is not None]
            else:
                manifest = read_manifest(document, name)
                platforms = [_platform_of(fetch_document(session, reference.path, manifest.config), name)]
            return Distribution(document=document, platforms=tuple(platforms))

        return self._read(reference.host, credential, cancel, work)

    def tags(
        self, repository: str, *, credential: Credential | None = None, cancel: CancelToken | None = None
    ) -> list[str]:
        """List the tags of a repository."""
        name = parse_reference(repository)
        return self._read(name.host, credential, cancel, lambda session: _tags(session, name))

    def _read(
        self,
        host: str,
        credential: Credential | None,
        cancel: CancelToken | None,
        work: Callable[[RegistrySession], T],
    ) -> T:
        """Run `work` with the first mirror that works, for images of the hub; else with the registry."""
        for mirror in self.options.mirrors if host == HUB else ():
            try:
                with self.session(mirror, None, cancel) as session:
                    return work(session)
            except TransferCancelledError:
                raise
            except RegistryError as error:
                log.info("mirror %s is skipped: %s", mirror, error)
        with self.session(host, credential, cancel) as session:
            return work(session)

    def log_in(self, server: str, credential: Credential, cancel: CancelToken | None = None) -> str:
        """Check a credential; return an identity token to keep instead of the password, if one is given.

        Raises RegistryAuthError when the registry does not accept it.
        """
        key = key_of(server)
        with self.session(HUB if key == HUB_KEY else key, credential, cancel) as session:
            session.ping()
            try:
                token = session.auth.log_in()
                with session.ask("GET", "/v2/", scopes=(), fine=(200, 401, 403)) as answer:
                    if answer.status == 200:
                        return token
                    status = HTTPStatus(answer.status)
                    said = f"login attempt failed with status: {status.value} {status.phrase}"
                    raise RegistryAuthError(f"{error_from(answer)}; {said}")
            except RegistryAuthError as error:
                raise RegistryAuthError(f'Get "{session.base}/v2/": {error}') from error


def _names(store: ImageStore, reference: Reference) -> list[Reference]:
    """Return the names to push; errors are in docker's words."""
    names = [parse_reference(name) for row in store.summaries() for name in row.names]
    every = {name.tag for name in names if name.repository == reference.repository}
    if reference.tag and store.ids_of((str(reference),)):
        return [reference]
    if not every:
        raise RegistryNotFoundError(f"An image does not exist locally with the tag: {reference.repository}")
    if reference.tag:
        raise RegistryNotFoundError(f"tag does not exist: {reference}")
    return [msgspec.structs.replace(reference, tag=tag) for tag in sorted(every)]


def _full(reference: Reference) -> str:
    return f"{reference.host}/{reference.path}"


def _tags(session: RegistrySession, name: Reference) -> list[str]:
    """Return all pages of a repository's list of tags."""
    where = f"/v2/{name.path}/tags/list?n={_PAGE}"
    found: list[str] = []
    while where and len(found) < _MOST_TAGS:
        with session.ask("GET", where, scopes=pull_scope(name.path)) as answer:
            found += _read_tags(answer.document(session.http.options.max_document, "list of tags"), name)
            where = _next_page(session, answer.url, answer.headers.get("Link", ""))
    return list(dict.fromkeys(found))


def _read_tags(data: bytes, name: Reference) -> list[str]:
    try:
        tags: Any = msgspec.json.decode(data)["tags"] or []
        return [parse_reference(f"{name.repository}:{tag}").tag for tag in tags]
    except (msgspec.MsgspecError, RecursionError, KeyError, TypeError, ImageError) as error:
        raise RegistryDataError(
            f"list of tags of {name.repository} is malformed: {error}; refused"
        ) from error


def _next_page(session: RegistrySession, current: str, link: str) -> str:
    """Return the address in `Link: <…>; rel="next"`."""
    target, _, rest = link.strip().partition(">")
    if not target.startswith("<") or 'rel="next"' not in rest.replace("rel=next", 'rel="next"'):
        return ""
    return session.target(current, target[1:])


def _platform_of(config: bytes, name: str) -> Platform:
    try:
        document: Any = msgspec.json.decode(config)
        return from_document(document)
    except (msgspec.MsgspecError, RecursionError, AttributeError) as error:
        raise RegistryDataError(f"config of {name} is malformed: {error}; push the image again") from error
