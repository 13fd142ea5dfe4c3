"""`/events`: the stream of events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
from aiohttp import web

from runtime.api.http.routing import Call, route
from runtime.api.http.streaming import send_json_lines
from runtime.api.routes.stdio import moment
from runtime.api.views.documents import EventAnswer
from runtime.engine.errors import BadParameterError
from runtime.engine.service.host.events import Subscription
from runtime.engine.service.model.request import Query


class EventsQuery(Query):
    """since: start with past events from then on. until: end there. Unix seconds or RFC 3339."""

    since: str = ""
    until: str = ""
    filters: dict[str, list[str]] = msgspec.field(default_factory=dict)


@route("GET", "/events", query=EventsQuery, answer=EventAnswer, also=(400,))
async def events(call: Call[EventsQuery, None]) -> web.StreamResponse:
    """Send events, one document per line, until the client disconnects or `until` is reached."""
    query = call.query
    since, until = _seconds("since", query.since), _seconds("until", query.until)
    if since is not None and until is not None and until < since:
        raise BadParameterError(f"`since` time ({query.since}) cannot be after `until` time ({query.until})")
    subscription = call.service.events.subscribe(since=since, until=until, filters=query.filters)
    try:
        return await send_json_lines(call.request, _documents(subscription))
    finally:
        subscription.close()


def _seconds(name: str, text: str) -> float | None:
    return moment(name, text) / 1e9 if text else None  # 0 is a time, too: all past events


async def _documents(subscription: Subscription) -> AsyncIterator[dict[str, Any]]:
    async for event in subscription:
        yield event.document()
