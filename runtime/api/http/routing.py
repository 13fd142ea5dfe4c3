"""Describe routes and find the one for a request.

A route is a coroutine on a `Call`; its query, body and answer are given as structs:

    class ListQuery(Query):
        all: bool = False
        filters: dict[str, list[str]] = {}

    @route("GET", "/widgets/json", query=ListQuery, answer=list[Widget])
    async def list_widgets(call: Call[ListQuery, None]) -> list[Widget]:
        return call.service.widgets(call.query.all)

The decorator only describes; `runtime.api.app` collects the described functions of each module. The OpenAPI
document is made from the same descriptions.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any, Generic, Literal

import msgspec
from typing_extensions import TypeVar

from runtime.engine.service.model.request import Query

if TYPE_CHECKING:
    from aiohttp import web

    from runtime.engine.service.service import Service

Q = TypeVar("Q", default=Any)
B = TypeVar("B", default=Any)

_PLACEHOLDER = re.compile(r"\{(\w+)(?::(.*?))?\}")

Method = Literal["GET", "HEAD", "POST", "PUT", "DELETE"]


class Raw:
    """As `body`: the handler reads `call.request.content` itself; as `answer`: it makes the response."""


class Call(Generic[Q, B]):
    """One request. path: the values of the route's placeholders; version: of the API, as (1, 45).

    Without a body (allowed where the route says `optional`) `body` is None.
    """

    __slots__ = ("body", "path", "query", "request", "service", "version")

    def __init__(
        self,
        request: web.BaseRequest,
        service: Service,
        path: dict[str, str],
        query: Q,
        body: B,
        version: tuple[int, int],
    ) -> None:
        self.request = request
        self.service = service
        self.path = path
        self.query = query
        self.body = body
        self.version = version


Handler = Callable[[Call[Any, Any]], Awaitable[Any]]


class route(msgspec.Struct, frozen=True):  # noqa: N801 - a decorator
    """Describe a handler. Its result is encoded as JSON and sent with `status`; None is an empty response.

    A returned `aiohttp.web.StreamResponse` is sent as it is. An error of our own classes becomes Docker's
    `{"message": …}` with the status that `runtime.api.http.errors` gives its class. A handler may have
    several decorators.

    path has no version prefix; `{name:.*}` matches slashes (names of images). query, body, answer: types,
    None for none. media: the content type of an answer that is not JSON. also: other statuses that it
    returns, for the OpenAPI document. optional: the body may be missing.
    """

    method: Method
    path: str
    query: type[Query] | None = None
    body: Any = None
    answer: Any = None
    status: int = 200
    optional: bool = False
    media: str = ""
    also: tuple[int, ...] = ()

    def __call__(self, handler: Handler) -> Handler:
        """Add the described route to the handler's."""
        described = Route(**msgspec.structs.asdict(self), handler=handler)
        handler.routes = [described, *getattr(handler, "routes", ())]  # type: ignore[attr-defined]
        return handler


class Route(route, frozen=True, kw_only=True):
    """A described route, with its handler."""

    handler: Handler

    @property
    def summary(self) -> str:
        """The first line of the handler's docstring."""
        return (self.handler.__doc__ or "").strip().split("\n", 1)[0]


def routes_of(modules: Iterable[ModuleType]) -> list[Route]:
    """Return all routes that the modules describe, in their order there."""
    found: list[Route] = []
    for module in modules:
        for value in vars(module).values():
            if getattr(value, "__module__", None) == module.__name__:
                found.extend(getattr(value, "routes", ()))
    return found


def pattern_of(path: str) -> re.Pattern[str]:
    """Return a path's pattern: `{name}` matches one part, `{name:.*}` what its expression matches."""
    pieces, end = [], 0
    for found in _PLACEHOLDER.finditer(path):
        pieces.append(re.escape(path[end : found.start()]))
        pieces.append(f"(?P<{found[1]}>{found[2] or '[^/]+'})")
        end = found.end()
    return re.compile("".join([*pieces, re.escape(path[end:])]))


class RouteTable:
    """Finds routes: fixed paths by one look-up, others by the patterns for their first part, in order."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = tuple(routes)
        self._fixed: dict[tuple[str, str], Route] = {}
        self._patterns: dict[tuple[str, str], list[tuple[re.Pattern[str], Route]]] = {}
        for route in self.routes:
            if "{" in route.path:
                key = (route.method, _first(route.path))
                self._patterns.setdefault(key, []).append((pattern_of(route.path), route))
            else:
                self._fixed.setdefault((route.method, route.path), route)

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """Return the route of a path (without version) and the values of its placeholders."""
        fixed = self._fixed.get((method, path))
        if fixed is not None:
            return fixed, {}
        for pattern, route in self._patterns.get((method, _first(path)), ()):
            found = pattern.fullmatch(path)
            if found is not None:
                return route, found.groupdict()
        return None


def _first(path: str) -> str:
    return path[1:].partition("/")[0]
