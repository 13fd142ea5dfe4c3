"""`POST /build`: the classic builder. BuildKit is not supported: clients need DOCKER_BUILDKIT=0."""

from __future__ import annotations

import base64
import binascii
from collections.abc import AsyncIterator
from typing import Any

import msgspec
from aiohttp import web

from runtime.api.http.platforms import check_platform
from runtime.api.http.routing import Call, Raw, route
from runtime.api.http.streaming import first_of, send_json_lines
from runtime.api.views.documents import ProgressAnswer
from runtime.engine.errors import BadParameterError, BuildError, UnavailableError
from runtime.engine.service.build.options import BuildOptions
from runtime.engine.service.model.progress import Line, run_reporting
from runtime.engine.service.model.request import Body, Query
from runtime.image.registry.credentials import Credential, from_document, key_of

_CHUNK = 1 << 18


@route("POST", "/build", query=BuildOptions, body=Raw, answer=ProgressAnswer, also=(400, 501))
async def build_image(call: Call[BuildOptions, None]) -> web.StreamResponse:
    """Build an image from a Dockerfile and its context, a tar; progress is sent as lines of JSON."""
    from runtime.engine.service.build.build import build  # a large import that few need

    options = call.query
    _check(options)
    credentials = _credentials(call.request.headers.get("X-Registry-Config", ""))
    chunks = call.request.content.iter_chunked(_CHUNK)
    lines = run_reporting(lambda say: build(call.service, chunks, options, say, credentials=credentials))
    return await send_json_lines(call.request, await first_of(_with_failure(lines)))


async def _with_failure(lines: AsyncIterator[Line]) -> AsyncIterator[Line]:
    """Make a failed step the last line, with the exit status of its program."""
    said = False
    try:
        async for line in lines:
            said = True
            yield line
    except BuildError as error:
        if not said:
            raise
        detail: dict[str, Any] = {"code": error.code} if error.code else {}
        yield {"errorDetail": {**detail, "message": str(error)}, "error": str(error)}


def _check(options: BuildOptions) -> None:
    if options.version == "2":
        raise UnavailableError(
            "BuildKit is not supported by this daemon: set DOCKER_BUILDKIT=0 for the classic builder"
        )
    if options.isolation not in ("", "default"):
        raise BadParameterError(f"isolation {options.isolation!r} is not supported on Linux: leave it out")
    check_platform(options.platform)


def _credentials(header: str) -> dict[str, Credential]:
    """Read X-Registry-Config: base64 of registry → credentials. An unreadable one counts as none."""
    if not header:
        return {}
    try:
        padded = header.translate(str.maketrans("+/", "-_")) + "=" * (-len(header) % 4)
        document = msgspec.json.decode(base64.urlsafe_b64decode(padded), type=dict[str, Any])
    except (ValueError, binascii.Error, msgspec.MsgspecError, RecursionError):
        return {}
    found = {key_of(host): from_document(one) for host, one in document.items()}
    return {host: credential for host, credential in found.items() if credential is not None}


class BuildPruneAnswer(Body, frozen=True):
    """What was removed. Build steps are images here, which `POST /images/prune` removes."""

    caches_deleted: list[str] | None
    space_reclaimed: int


class BuildPruneQuery(Query, frozen=True):
    """Which part of BuildKit's cache to remove."""

    keep_storage: int = msgspec.field(name="keep-storage", default=0)
    all: bool = False
    filters: dict[str, list[str]] = msgspec.field(default_factory=dict)


@route("POST", "/build/prune", query=BuildPruneQuery, answer=BuildPruneAnswer)
async def prune_builds(call: Call[BuildPruneQuery, None]) -> BuildPruneAnswer:
    """Remove BuildKit's cache, which is always empty here."""
    return BuildPruneAnswer(caches_deleted=None, space_reclaimed=0)
