"""`/images` and `/commit`: list, inspect, tag, remove, save, load, import and commit images."""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import msgspec
from aiohttp import web

from runtime.api.http.errors import ApiError
from runtime.api.http.platforms import check_platform
from runtime.api.http.routing import Call, Raw, route
from runtime.api.http.streaming import first_of, send_json_lines, send_stream
from runtime.api.views import images as views
from runtime.api.views.documents import ProgressAnswer
from runtime.api.views.images import HistoryItem, ImageDocument, ImageSummary
from runtime.engine.errors import BadParameterError
from runtime.engine.service.images import images
from runtime.engine.service.images.commit import commit
from runtime.engine.service.model.filters import check_filters
from runtime.engine.service.model.progress import run_reporting
from runtime.engine.service.model.request import Body, Config, FilterQuery, Query
from runtime.image.store.listing import LIST_FILTERS, PRUNE_FILTERS
from runtime.image.store.removal import Removal

TAR = "application/x-tar"
_CHUNK = 1 << 18


class ListQuery(Query, frozen=True):
    """all: also the intermediate images of builds. shared_size: compute it, which takes time.

    filter: a name, sent by old clients. only_ids, digests, manifests: ignored; the rows are complete.
    """

    all: bool = False
    filters: dict[str, list[str]] = msgspec.field(default_factory=dict)
    shared_size: bool = msgspec.field(default=False, name="shared-size")
    filter: str = ""
    only_ids: bool = False
    digests: bool = False
    manifests: bool = False


@route("GET", "/images/json", query=ListQuery, answer=list[ImageSummary], also=(400,))
async def list_images(call: Call[ListQuery, None]) -> list[ImageSummary]:
    """List images, newest first."""
    query, store = call.query, call.service.images
    filters = {**query.filters, **({"reference": [query.filter]} if query.filter else {})}
    check_filters(filters, LIST_FILTERS)

    def read() -> list[ImageSummary]:
        shared = store.usage().shared if query.shared_size else {}
        rows = store.summaries(filters, intermediate=query.all)
        return [
            views.summary(row, call.version, shared=shared.get(row.id, 0 if query.shared_size else -1))
            for row in rows
        ]

    return await asyncio.to_thread(read)


@route("GET", "/images/{name:.*}/json", answer=ImageDocument, also=(404,))
async def inspect_image(call: Call) -> ImageDocument:
    """Inspect an image."""
    service = call.service

    def read() -> ImageDocument:
        return views.inspect(service, service.images.resolve(call.path["name"]), call.version)

    return await asyncio.to_thread(read)


@route("GET", "/images/{name:.*}/history", answer=list[HistoryItem], also=(404,))
async def image_history(call: Call) -> list[HistoryItem]:
    """List an image's build steps, newest first."""
    service = call.service

    def read() -> list[HistoryItem]:
        return views.history_items(service, service.images.resolve(call.path["name"]))

    return await asyncio.to_thread(read)


# ---- tags and removal -----------------------------------------------------------------------------------


class TagQuery(Query, frozen=True):
    """repo: the new name, with or without a tag. force: sent by old clients; a tag is always moved."""

    repo: str = ""
    tag: str = ""
    force: bool = False


@route("POST", "/images/{name:.*}/tag", query=TagQuery, status=201, also=(400, 404))
async def tag_image(call: Call[TagQuery, None]) -> None:
    """Tag an image."""
    if not call.query.repo:
        raise BadParameterError("invalid reference format: repository name must not be empty")
    await images.tag(call.service, call.path["name"], call.query.repo, call.query.tag)


class RemoveQuery(Query, frozen=True):
    """force: even if stopped containers use it or it has several names. noprune: keep untagged parents."""

    force: bool = False
    noprune: bool = False


@route("DELETE", "/images/{name:.*}", query=RemoveQuery, answer=list[Removal], also=(400, 404, 409))
async def remove_image(call: Call[RemoveQuery, None]) -> list[Removal]:
    """Remove a name, and the image with its last name."""
    query = call.query
    if not call.path["name"].strip():
        raise BadParameterError("image name cannot be blank")
    rows = await images.remove(call.service, call.path["name"], force=query.force, prune=not query.noprune)
    return list(rows)


class PruneAnswer(Body, frozen=True):
    """What was removed. space_reclaimed: bytes."""

    images_deleted: list[Removal] | None
    space_reclaimed: int


@route("POST", "/images/prune", query=FilterQuery, answer=PruneAnswer, also=(400,))
async def prune_images(call: Call[FilterQuery, None]) -> PruneAnswer:
    """Remove images that nothing uses."""
    check_filters(call.query.filters, PRUNE_FILTERS)
    rows, freed = await images.prune(call.service, call.query.filters)
    return PruneAnswer(images_deleted=list(rows) or None, space_reclaimed=freed)


# ---- archives -------------------------------------------------------------------------------------------


class SaveQuery(Query, frozen=True):
    """names: of the images to save."""

    names: list[str] = msgspec.field(default_factory=list)


@route("GET", "/images/get", query=SaveQuery, answer=Raw, media=TAR, also=(400, 404))
async def save_images(call: Call[SaveQuery, None]) -> web.StreamResponse:
    """Send several images as one archive."""
    chunks = await images.save(call.service, call.query.names)
    return await send_stream(call.request, await first_of(chunks), TAR)


@route("GET", "/images/{name:.*}/get", answer=Raw, media=TAR, also=(404,))
async def save_image(call: Call) -> web.StreamResponse:
    """Send an image as an archive."""
    chunks = await images.save(call.service, [call.path["name"]])
    return await send_stream(call.request, await first_of(chunks), TAR)


class LoadQuery(Query, frozen=True):
    """quiet: send no progress; the default, as with dockerd."""

    quiet: bool = True


@route("POST", "/images/load", query=LoadQuery, body=Raw, answer=ProgressAnswer)
async def load_images(call: Call[LoadQuery, None]) -> web.StreamResponse:
    """Load all images of an archive; a failure is the last line of the response, as clients expect."""
    chunks = call.request.content.iter_chunked(_CHUNK)
    lines = run_reporting(lambda say: images.load_images(call.service, chunks, say, quiet=call.query.quiet))
    return await send_json_lines(call.request, lines, patient=True)


class ImportQuery(Protocol):
    """from_src: `-` or a URL. repo, tag: the new image's name. changes: Dockerfile instructions."""

    from_src: str
    repo: str
    tag: str
    message: str
    changes: list[str]
    platform: str


async def import_image(call: Call[Any, Any]) -> web.StreamResponse:
    """Make an image from a tar of a root file system: `POST /images/create` without fromImage."""
    query: ImportQuery = call.query
    if not query.from_src:
        raise BadParameterError("nothing to create an image from: give fromImage or fromSrc")
    check_platform(query.platform)
    chunks = call.request.content.iter_chunked(_CHUNK)
    lines = run_reporting(
        lambda say: images.import_tar(
            call.service,
            query.from_src,
            chunks,
            say,
            repository=query.repo,
            tag=query.tag,
            message=query.message,
            changes=query.changes,
            platform=query.platform,
        )
    )
    return await send_json_lines(call.request, await first_of(lines))


# ---- commit ---------------------------------------------------------------------------------------------


class CommitQuery(Query, frozen=True):
    """repo, tag: the new image's name. changes: Dockerfile instructions. pause: on by default."""

    container: str = ""
    repo: str = ""
    tag: str = ""
    comment: str = ""
    author: str = ""
    pause: bool = True
    changes: list[str] = msgspec.field(default_factory=list)


class CommitAnswer(Body, frozen=True):
    """The new image."""

    id: str


@route(
    "POST",
    "/commit",
    query=CommitQuery,
    body=Config | None,
    answer=CommitAnswer,
    status=201,
    optional=True,
    also=(400, 404),
)
async def commit_container(call: Call[CommitQuery, Config | None]) -> CommitAnswer:
    """Make an image from a container."""
    query = call.query
    if not query.container:
        raise ApiError("No such container: ", 404)
    image_id = await commit(
        call.service,
        query.container,
        repository=query.repo,
        tag=query.tag,
        comment=query.comment,
        author=query.author,
        pause=query.pause,
        changes=query.changes,
        config=_said(call.body),
    )
    return CommitAnswer(id=image_id)


def _said(config: Config | None) -> Config | None:
    """Return None for an empty Config, which clients send instead of none."""
    empty: dict[str, Any] = msgspec.to_builtins(Config())
    return None if config is None or msgspec.to_builtins(config) == empty else config
