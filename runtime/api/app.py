"""The application: dispatches each request to its route and turns results and errors into responses."""

from __future__ import annotations

import asyncio
import logging
import platform
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from aiohttp import web

from runtime.api.http import versions
from runtime.api.http.decoding import decode_body, decode_query
from runtime.api.http.errors import ApiError, ErrorBody, is_ours, status_of, text_of
from runtime.api.http.hijack import Connection
from runtime.api.http.routing import Call, Raw, Route, RouteTable, routes_of
from runtime.api.routes import route_modules
from runtime.engine.service.service import Service

log = logging.getLogger(__name__)

BODY_LIMIT = 16 << 20
"""Bytes of a JSON body. Bodies that handlers read themselves (tars) have no limit."""
LINE_LIMIT = 1 << 20
"""Bytes of the request line and of a header: build arguments and credentials travel there."""

Observer = Callable[[web.BaseRequest, Route, bytes, web.StreamResponse], None]
"""Called with each request, its route, JSON body and response: tests check them against the schema."""

_encode = msgspec.json.Encoder().encode
_JSON = "application/json"


def common_headers(*, experimental: bool) -> dict[str, str]:
    """Return the headers of every response; clients read the API version and the OS from any of them."""
    return {
        "Api-Version": versions.text(versions.NEWEST),
        "Docker-Experimental": str(experimental).lower(),
        "Ostype": "linux",
        "Server": f"Docker/{versions.program()}-ninetynine ({platform.system().lower()})",
    }


class ApiRequest(web.BaseRequest):
    """A request whose responses all carry the common headers."""

    common: Mapping[str, str] = {}

    async def _prepare_hook(self, resp: web.StreamResponse) -> None:
        resp.headers.update(self.common)


class Api(web.Server):
    """The protocol factory of all listening sockets."""

    def __init__(self, service: Service, observer: Observer | None = None) -> None:
        super().__init__(self.answer, request_factory=self._request)
        self.service = service
        self._common = common_headers(experimental=service.experimental)
        self.table = RouteTable(routes_of(route_modules()))
        self._observer = observer

    def __call__(self) -> Connection:
        """Return the protocol of a new connection."""
        return Connection(
            self, loop=self._loop, access_log=None, max_line_size=LINE_LIMIT, max_field_size=LINE_LIMIT
        )

    def _request(self, message: Any, payload: Any, protocol: Any, writer: Any, task: Any) -> ApiRequest:
        made = ApiRequest(message, payload, protocol, writer, task, self._loop, client_max_size=BODY_LIMIT)
        made.common = self._common
        return made

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request. Raises only ConnectionError (the client is gone) and CancelledError."""
        route, data = None, b""
        try:
            version, path = versions.split_path(request.path)
            if request.method == "OPTIONS":  # dockerd answers it on any path, with an empty response
                return web.Response()
            found = self.table.find(request.method, path)
            if found is None:
                raise ApiError("page not found", 404)
            route, placeholders = found
            data = await _body(request, route)
            call = Call(
                request,
                self.service,
                placeholders,
                decode_query(route.query, _parameters(request)),
                _decoded(request, route, data),
                version,
            )
            response = _response(route, await route.handler(call))
        except (ConnectionError, asyncio.CancelledError):
            raise
        except Exception as error:
            response = failure(request, error)
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s %s: %d", request.method, request.path_qs, response.status)
        if self._observer is not None and route is not None:
            self._observer(request, route, data, response)
        return response


def _parameters(request: web.BaseRequest) -> dict[str, list[str]]:
    query = request.query
    return {name: query.getall(name) for name in query} if query else {}


async def _body(request: web.BaseRequest, route: Route) -> bytes:
    """Read the body if the route wants it decoded; other bodies are read by the handler."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    if route.body is None or route.body is Raw or not request.body_exists:
        return b""
    return await request.read()


def _decoded(request: web.BaseRequest, route: Route, data: bytes) -> Any:
    if route.body is None or route.body is Raw or (route.optional and not data.strip()):
        return None
    return decode_body(data, route.body, request.headers.get("Content-Type", ""))


def _response(route: Route, answer: Any) -> web.StreamResponse:
    if isinstance(answer, web.StreamResponse):
        return answer
    if answer is None and route.answer is None:
        return web.Response(status=route.status)
    if isinstance(answer, bytes):
        return web.Response(body=answer, status=route.status, headers={"Content-Type": route.media or _JSON})
    return web.Response(
        body=_encode(answer) + b"\n", status=route.status, headers={"Content-Type": route.media or _JSON}
    )


def failure(request: web.BaseRequest, error: Exception) -> web.Response:
    """Return the response for an error. Raises ConnectionError if another response has already begun."""
    status = error.status if isinstance(error, web.HTTPException) else status_of(error)
    if isinstance(error, web.RequestPayloadError):  # a body that does not match its headers
        status = 400
    if status == 500 and not is_ours(error):
        log.error("%s %s failed", request.method, request.path, exc_info=error)
    elif status != 304:
        log.debug("%s %s: %s", request.method, request.path, error)
    if request.writer.output_size > 0 or getattr(request.protocol, "taken", False):
        raise ConnectionError("the response has already begun; it can only be cut off") from error
    if status == 304:
        return web.Response(status=304)
    text = text_of(error)
    if isinstance(error, web.HTTPRequestEntityTooLarge):
        text = f"request body is larger than {BODY_LIMIT} bytes"
    text = text.encode("utf-8", "replace").decode()  # a part quoted from the request may not be valid text
    return web.Response(
        body=_encode(ErrorBody(message=text)) + b"\n", status=status, headers={"Content-Type": _JSON}
    )
