"""`/containers/{id}/archive`, `export` and `changes`: a container's files."""

from __future__ import annotations

import base64

import msgspec
from aiohttp import web

from runtime.api.http.routing import Call, Raw, route
from runtime.api.http.streaming import first_of, send_stream
from runtime.engine.errors import BadParameterError
from runtime.engine.service.files.archive import PathStat, export, get_archive, put_archive, stat_path
from runtime.engine.service.files.diff import Change, diff
from runtime.engine.service.model.request import Query

TAR = "application/x-tar"
_CHUNK = 1 << 18


class PathQuery(Query):
    """path: in the container."""

    path: str = ""


def _path(query: PathQuery) -> str:
    if not query.path:
        raise BadParameterError("missing path: name a file of the container with ?path=")
    return query.path


def stat_header(stat: PathStat) -> dict[str, str]:
    """Return the header that describes a path."""
    return {"X-Docker-Container-Path-Stat": base64.b64encode(msgspec.json.encode(stat)).decode()}


@route("HEAD", "/containers/{id:.*}/archive", query=PathQuery, answer=Raw, also=(400, 404))
async def look(call: Call[PathQuery, None]) -> web.StreamResponse:
    """Describe a path of a container, in a header."""
    stat = await stat_path(call.service, call.path["id"], _path(call.query))
    return web.Response(headers=stat_header(stat))


@route("GET", "/containers/{id:.*}/archive", query=PathQuery, answer=Raw, media=TAR, also=(400, 404))
async def get(call: Call[PathQuery, None]) -> web.StreamResponse:
    """Send a path of a container, with everything below it, as a tar."""
    stat, chunks = await get_archive(call.service, call.path["id"], _path(call.query))
    return await send_stream(call.request, await first_of(chunks), TAR, headers=stat_header(stat))


class PutQuery(PathQuery):
    """no_overwrite…: replace no directory by a file or vice versa. copy_uid_gid: chown to its user."""

    no_overwrite_dir_non_dir: bool = msgspec.field(default=False, name="noOverwriteDirNonDir")
    copy_uid_gid: bool = msgspec.field(default=False, name="copyUIDGID")


@route("PUT", "/containers/{id:.*}/archive", query=PutQuery, body=Raw, also=(400, 403, 404))
async def put(call: Call[PutQuery, None]) -> None:
    """Unpack a tar into a directory of a container."""
    await put_archive(
        call.service,
        call.path["id"],
        _path(call.query),
        call.request.content.iter_chunked(_CHUNK),
        no_overwrite_dir_non_dir=call.query.no_overwrite_dir_non_dir,
        copy_uid_gid=call.query.copy_uid_gid,
    )


@route("GET", "/containers/{id:.*}/export", answer=Raw, media=TAR, also=(404,))
async def export_container(call: Call) -> web.StreamResponse:
    """Send a container's root file system, without its volumes, as a tar."""
    chunks = await export(call.service, call.path["id"])
    return await send_stream(call.request, await first_of(chunks), TAR)


@route("GET", "/containers/{id:.*}/changes", answer=list[Change], also=(404,))
async def changes(call: Call) -> list[Change]:
    """List a container's changes to its image."""
    return await diff(call.service, call.path["id"])
