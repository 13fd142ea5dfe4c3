"""Routes that use registries: pull, push, login, search and distribution."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from aiohttp import web

from runtime.api.http.errors import ApiError
from runtime.api.http.platforms import check_name
from runtime.api.http.routing import Call, route
from runtime.api.http.streaming import first_of, send_json_lines, while_connected
from runtime.api.views.documents import ProgressAnswer
from runtime.docker_syntax import booleans
from runtime.engine.errors import refusing
from runtime.engine.service.model.request import Query
from runtime.image.errors import ImageReferenceError
from runtime.image.references import Reference, parse_reference
from runtime.image.registry import credentials
from runtime.image.registry.cancel import CancelToken
from runtime.image.registry.credentials import Credential
from runtime.image.registry.progress import Message, Progress
from runtime.image.registry.registry_errors import CredentialsError, RegistryError
from runtime.image.registry.search import SearchResult, search

if TYPE_CHECKING:  # imported when first needed
    from runtime.image.registry.pull import Pulled
    from runtime.image.registry.push import Pushed

T = TypeVar("T")

_MOST_FOUND = 100
_THREADS = ThreadPoolExecutor(max_workers=32, thread_name_prefix="transfer")
"""Transfers wait for networks, so they must not occupy the event loop's own threads."""


class CreateQuery(Query, frozen=True, kw_only=True):
    """fromImage: the image to pull; without it the request is an import (see images.import_image)."""

    from_image: str = msgspec.field(name="fromImage", default="")
    from_src: str = msgspec.field(name="fromSrc", default="")
    repo: str = ""
    tag: str = ""
    message: str = ""
    changes: list[str] = msgspec.field(default_factory=list)
    platform: str = ""


class PushQuery(Query, frozen=True, kw_only=True):
    """tag: the tag to push; without it all tags of the repository."""

    tag: str = ""
    platform: str = ""


class AuthConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Docker's credentials for one registry."""

    username: str = ""
    password: str = ""
    auth: str = ""
    email: str = ""
    serveraddress: str = ""
    identitytoken: str = ""
    registrytoken: str = ""


class AuthAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """The result of a login. identity_token: to be kept instead of the password, or ""."""

    status: str
    identity_token: str = ""


class DescriptorAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A manifest or index in a registry; size in bytes."""

    media_type: str
    digest: str
    size: int


class PlatformAnswer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A platform of an image."""

    architecture: str
    os: str
    variant: str = ""


class DistributionAnswer(msgspec.Struct, frozen=True, kw_only=True, rename="pascal"):
    """What a name stands for in its registry."""

    descriptor: DescriptorAnswer
    platforms: list[PlatformAnswer]


@route("POST", "/images/create", query=CreateQuery, answer=ProgressAnswer, also=(400, 404))
async def create_image(call: Call[CreateQuery, None]) -> web.StreamResponse:
    """Pull an image, or import one from a tar; progress is sent as lines of JSON."""
    query = call.query
    if not query.from_image:
        from runtime.api.routes import images

        return await images.import_image(call)
    check_name(query.platform)
    name, every = _pull_name(query)
    credential = _credential(call)
    service = call.service

    def work(progress: Progress, cancel: CancelToken) -> list[Pulled]:
        pull = service.registry.pull_all if every else service.registry.pull
        done: Any = pull(
            service.images,
            str(name),
            platform=query.platform,
            credential=credential,
            progress=progress,
            cancel=cancel,
        )
        return done if every else [done]

    def report(done: list[Pulled]) -> list[Any]:
        for pulled in done:
            shown = pulled.image.reference if every else str(name)
            service.events.publish("image", "pull", shown, {"name": name.repository})
        return [
            {"aux": {"ID": pulled.image.id, "Digest": pulled.digest, "Transfer": pulled.transfer}}
            for pulled in done
        ]

    return await _stream(call, work, report)


@route("POST", "/images/{name:.+}/push", query=PushQuery, answer=ProgressAnswer, also=(400, 404))
async def push_image(call: Call[PushQuery, None]) -> web.StreamResponse:
    """Push a tag, or all tags of a repository; progress is sent as lines of JSON."""
    name = _with_tag(call.path["name"], call.query.tag)
    credential = _credential(call)
    service = call.service

    def work(progress: Progress, cancel: CancelToken) -> list[Pushed]:
        return service.registry.push(
            service.images, str(name), credential=credential, progress=progress, cancel=cancel
        )

    def report(done: list[Pushed]) -> list[Any]:
        lines = []
        for pushed in done:
            shown = f"{name.repository}:{pushed.tag}"
            service.events.publish("image", "push", shown, {"name": name.repository})
            aux = {
                "Tag": pushed.tag,
                "Digest": pushed.digest,
                "Size": pushed.size,
                "Transfer": pushed.transfer,
            }
            lines.append({"progressDetail": {}, "aux": aux})
        return lines

    return await _stream(call, work, report)


@route("POST", "/auth", body=AuthConfig, answer=AuthAnswer, also=(401,))
async def log_in(call: Call[None, AuthConfig]) -> AuthAnswer:
    """Check credentials with a registry."""
    try:
        credential = credentials.from_document(msgspec.to_builtins(call.body))
        credentials.check_server(call.body.serveraddress)
    except CredentialsError as error:
        raise ApiError(str(error), 400) from error
    registry, server = call.service.registry, call.body.serveraddress
    token = await _alone(
        call, lambda cancel: registry.log_in(server, credential or Credential(), cancel=cancel)
    )
    return AuthAnswer(status="Login Succeeded", identity_token=token)


@route("GET", "/distribution/{name:.+}/json", answer=DistributionAnswer, also=(401, 404))
async def inspect_distribution(call: Call[None, None]) -> DistributionAnswer:
    """Return what a name stands for in its registry, without pulling it."""
    name = _parsed(call.path["name"])
    credential = _credential(call)
    registry = call.service.registry
    found = await _alone(
        call, lambda cancel: registry.inspect(str(name), credential=credential, cancel=cancel)
    )
    document = found.document
    return DistributionAnswer(
        descriptor=DescriptorAnswer(
            media_type=document.media_type, digest=document.digest, size=len(document.data)
        ),
        platforms=[
            PlatformAnswer(architecture=platform.architecture, os=platform.os, variant=platform.variant)
            for platform in found.platforms
        ],
    )


class SearchQuery(Query, frozen=True, kw_only=True):
    """term; limit: 25 by default, 100 at most. filters: is-official, is-automated, stars (at least)."""

    term: str = ""
    limit: int = 25
    filters: dict[str, list[str]] = msgspec.field(default_factory=dict)


@route("GET", "/images/search", query=SearchQuery, answer=list[SearchResult], also=(400,))
async def search_images(call: Call[SearchQuery, None]) -> list[SearchResult]:
    """Search for repositories, on Docker Hub or on the registry that the term begins with."""
    query, registry = call.query, call.service.registry
    if not query.term:
        raise ApiError("no term to search for; give one", 400)
    if not 0 <= query.limit <= _MOST_FOUND:
        raise ApiError(f"limit {query.limit} is outside the range of [1, {_MOST_FOUND}]", 400)
    fits = _filter(query.filters)
    credential = _credential(call)
    found = await _alone(
        call,
        lambda cancel: search(registry, query.term, query.limit or 25, credential=credential, cancel=cancel),
    )
    return [repository for repository in found if fits(repository)]


def _filter(filters: dict[str, list[str]]) -> Callable[[SearchResult], bool]:
    """Return the test for a repository. Raises ApiError for bad filters, before any registry is asked."""
    unknown = filters.keys() - {"is-official", "is-automated", "stars"}
    if unknown:
        raise ApiError(f"invalid filter '{min(unknown)}'", 400)
    stars = max((_stars(value) for value in filters.get("stars", ())), default=0)
    official, automated = _truth(filters, "is-official"), _truth(filters, "is-automated")

    def fits(repository: SearchResult) -> bool:
        return (
            repository.star_count >= stars
            and official in (None, repository.is_official)
            and automated in (None, repository.is_automated)
        )

    return fits


def _stars(value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise ApiError(f"invalid filter 'stars={value}'", 400)
    return int(value[:9])


def _truth(filters: dict[str, list[str]], name: str) -> bool | None:
    """Return the value of a boolean filter, None if it is not given."""
    with refusing():
        return booleans.of_filter(name, filters[name]) if name in filters else None


# ---- names and credentials ---------------------------------------------------------------------------------


def _pull_name(query: CreateQuery) -> tuple[Reference, bool]:
    """Return what to pull, and whether to pull all tags: as with docker, if the name has none."""
    name = _with_tag(query.from_image, query.tag)
    return name, not name.tag and not name.digest


def _with_tag(text: str, tag: str) -> Reference:
    """Join the API's name and tag, which may be a digest; it overrides a tag in the name."""
    name = _parsed(text)
    if not tag:
        return name
    if ":" in tag:
        return _parsed(f"{name.repository}@{tag}")
    return _parsed(f"{name.repository}:{tag}")


def _parsed(text: str) -> Reference:
    try:
        return parse_reference(text)
    except ImageReferenceError as error:
        raise ApiError(str(error), 400) from error


def _credential(call: Call[Any, Any]) -> Credential | None:
    """Read X-Registry-Auth. An unreadable one counts as none, as with docker."""
    try:
        return credentials.decode_header(call.request.headers.get("X-Registry-Auth", ""))
    except CredentialsError:
        return None


# ---- work in threads ---------------------------------------------------------------------------------------


async def _alone(call: Call[Any, Any], work: Callable[[CancelToken], T]) -> T:
    """Do blocking work, and abort it when the client disconnects."""
    cancel = CancelToken()
    try:
        future = asyncio.get_running_loop().run_in_executor(_THREADS, work, cancel)
        return await while_connected(call.request, future)
    except RegistryError as error:
        raise ApiError(str(error), error.http_status) from error
    finally:
        cancel.abort()


async def _stream(
    call: Call[Any, Any], work: Callable[[Progress, CancelToken], T], report: Callable[[T], list[Any]]
) -> web.StreamResponse:
    """Send the progress of work; an error before its first message becomes the response's status."""
    lines = await while_connected(call.request, first_of(_lines(work, report)))
    return await send_json_lines(call.request, lines)


async def _lines(
    work: Callable[[Progress, CancelToken], T], report: Callable[[T], list[Any]]
) -> AsyncIterator[Any]:
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[Message | None] = asyncio.Queue()
    cancel = CancelToken()

    def put(message: Message | None) -> None:
        loop.call_soon_threadsafe(queue.put_nowait, message)

    def ended(_: Future[T]) -> None:
        if not loop.is_closed():
            put(None)

    future = _THREADS.submit(work, put, cancel)
    future.add_done_callback(ended)
    try:
        while (message := await queue.get()) is not None:
            yield message
        for line in report(future.result()):
            yield line
    except RegistryError as error:
        raise ApiError(str(error), error.http_status) from error
    finally:
        cancel.abort()
        del future  # break the cycle: it holds its exception, which holds this frame
