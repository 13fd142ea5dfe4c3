"""`/containers/{id}/top` and `stats`: a container's processes and resource usage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec
from aiohttp import web

from runtime.api.http.routing import Call, route
from runtime.api.http.streaming import send_json_lines, while_connected
from runtime.api.views.documents import StatsAnswer
from runtime.engine.errors import NotFoundError
from runtime.engine.service.model.request import Query
from runtime.engine.service.processes.stats import stats
from runtime.engine.service.processes.top import Top, top


class TopQuery(Query):
    """ps_args: arguments for `ps`."""

    ps_args: str = ""


@route("GET", "/containers/{id:.*}/top", query=TopQuery, answer=Top, also=(400, 404, 409))
async def list_processes(call: Call[TopQuery, None]) -> Top:
    """List the processes of a container."""
    return await top(call.service, call.path["id"], call.query.ps_args)


class StatsQuery(Query):
    """stream: a document per second. one_shot: at once, without a second reading."""

    stream: bool = True
    one_shot: bool = msgspec.field(default=False, name="one-shot")


@route("GET", "/containers/{id:.*}/stats", query=StatsQuery, answer=StatsAnswer, also=(404,))
async def usage(call: Call[StatsQuery, None]) -> web.StreamResponse | dict[str, Any]:
    """Return a container's resource usage, as a stream of documents or as one."""
    query = call.query
    documents = stats(call.service, call.path["id"], stream=query.stream, one_shot=query.one_shot)
    if query.stream:
        return await send_json_lines(call.request, documents)
    return await while_connected(call.request, _first(documents, call.path["id"]))


async def _first(documents: AsyncIterator[dict[str, Any]], ref: str) -> dict[str, Any]:
    async with aclosing(documents):  # type: ignore[type-var]
        async for document in documents:
            return document
    raise NotFoundError(f"No such container: {ref}")
