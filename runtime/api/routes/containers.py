"""`/containers`: create, list, inspect, change and remove containers."""

from __future__ import annotations

import asyncio

import msgspec

from runtime.api.http.compat import check_creation, creation, inspected, update_of
from runtime.api.http.platforms import check_name
from runtime.api.http.routing import Call, route
from runtime.api.views.inspection import ContainerDocument, inspect
from runtime.api.views.summary import ContainerSummary, image_ids, sizing, summarize
from runtime.engine.errors import BadParameterError
from runtime.engine.service.model.filters import Filters
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.model.request import (
    Body,
    Config,
    CreateRequest,
    FilterQuery,
    Query,
    UpdateRequest,
)
from runtime.engine.service.service import Service

_PLATFORM = (1, 41)
_DEEP_READ_ONLY = (1, 44)
"""Since this version a read-only bind is read-only in what is mounted below it too."""


class CreateQuery(Query):
    """name: "" for a generated one. platform: os[/arch[/variant]] of the image, "" for any."""

    name: str = ""
    platform: str = ""


class Created(Body):
    """A new container."""

    id: str
    warnings: list[str]


@route(
    "POST", "/containers/create", query=CreateQuery, body=CreateRequest, answer=Created, status=201,
    also=(400, 404, 409),
)  # fmt: skip
async def create(call: Call[CreateQuery, CreateRequest]) -> Created:
    """Create a container; it does not run yet."""
    check_creation(call.body, call.version)
    if not call.body.image and not _tells_config(await call.request.read()):
        raise BadParameterError("config cannot be empty in order to create a container")
    platform = call.query.platform if call.version >= _PLATFORM else ""
    if platform:
        check_name(platform)
    container_id, warnings = await call.service.containers.create(
        call.query.name or None,
        creation(call.body, call.version),
        platform=platform,
        shallow=call.version < _DEEP_READ_ONLY,
    )
    return Created(id=container_id, warnings=warnings)


def _tells_config(body: bytes) -> bool:
    """Return whether a body has any field of a Config, even an empty one."""
    names = {name.lower() for name in Config.__struct_encode_fields__}
    text = body.decode("utf-8", "replace")  # parts that were not decoded may hold any bytes
    return any(name.lower() in names for name in msgspec.json.decode(text, type=dict[str, msgspec.Raw]))


class ListQuery(Query):
    """limit: only the newest N, running or not. size: add sizes. before, since: old forms of the filters."""

    all: bool = False
    limit: int = 0
    size: bool = False
    filters: dict[str, list[str]] = msgspec.field(default_factory=dict)
    before: str = ""
    since: str = ""


@route("GET", "/containers/json", query=ListQuery, answer=list[ContainerSummary], also=(400, 404))
async def list_containers(call: Call[ListQuery, None]) -> list[ContainerSummary]:
    """List containers, newest first."""
    query = call.query
    filters: Filters = query.filters
    for name, value in (("before", query.before), ("since", query.since)):
        if value:
            filters = {**filters, name: [value]}
    records = call.service.containers.list(all=query.all, limit=max(0, query.limit), filters=filters)
    image_id_of = image_ids(call.service)
    sizes = await _sizes(call.service, records) if query.size else {}
    links = call.service.containers.names_by_links()
    return [
        summarize(record, image_id_of, sizes.get(record.id), links.get(record.id, ())) for record in records
    ]


async def _sizes(service: Service, records: list[ContainerRecord]) -> dict[str, tuple[int, int]]:
    def all_sizes() -> dict[str, tuple[int, int]]:
        sizes_of = sizing(service)
        return {record.id: sizes_of(record) for record in records}

    return await asyncio.to_thread(all_sizes)


class InspectQuery(Query):
    """size: add sizes."""

    size: bool = False


@route("GET", "/containers/{id:.*}/json", query=InspectQuery, answer=ContainerDocument, also=(404,))
async def inspect_container(call: Call[InspectQuery, None]) -> ContainerDocument:
    """Inspect a container."""
    record = call.service.containers.get(call.path["id"])
    sizes = await asyncio.to_thread(sizing(call.service), record) if call.query.size else None
    return inspected(inspect(call.service, record, sizes), record, call.version)


class RenameQuery(Query):
    """name: the new name."""

    name: str = ""


@route("POST", "/containers/{id:.*}/rename", query=RenameQuery, status=204, also=(400, 404, 409))
async def rename(call: Call[RenameQuery, None]) -> None:
    """Rename a container."""
    if not call.query.name:
        raise BadParameterError("Neither old nor new names may be empty")
    await call.service.containers.rename(call.path["id"], call.query.name)


class Updated(Body):
    """Warnings about what could not be done as requested."""

    warnings: list[str]


@route("POST", "/containers/{id:.*}/update", body=UpdateRequest, answer=Updated, also=(400, 404, 409))
async def update(call: Call[None, UpdateRequest]) -> Updated:
    """Change limits and the restart policy of a container."""
    body = update_of(call.body, call.version)
    return Updated(warnings=await call.service.containers.update(call.path["id"], body))


class RemoveQuery(Query):
    """v: also its anonymous volumes. force: even if it runs. link: remove only the link of that name."""

    v: bool = False
    force: bool = False
    link: bool = False


@route("DELETE", "/containers/{id:.*}", query=RemoveQuery, status=204, also=(400, 404, 409))
async def remove(call: Call[RemoveQuery, None]) -> None:
    """Remove a container."""
    query = call.query
    await call.service.containers.remove(call.path["id"], force=query.force, volumes=query.v, link=query.link)


class Pruned(Body):
    """What was removed. space_reclaimed: bytes."""

    containers_deleted: list[str] | None
    space_reclaimed: int


@route("POST", "/containers/prune", query=FilterQuery, answer=Pruned, also=(400,))
async def prune(call: Call[FilterQuery, None]) -> Pruned:
    """Remove all stopped containers."""
    removed, freed = await call.service.containers.prune(call.query.filters)
    return Pruned(containers_deleted=removed or None, space_reclaimed=freed)
