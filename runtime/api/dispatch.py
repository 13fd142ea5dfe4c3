"""Which route a request means: fixed paths by one look-up, others by the patterns of their first part."""

from __future__ import annotations

import re
from collections.abc import Iterable

from runtime.api.routing import Route

_PLACEHOLDER = re.compile(r"\{(\w+)(?::(.*?))?\}")


def pattern_of(path: str) -> re.Pattern[str]:
    """Return what matches a route's path: `{name}` takes one part, `{name:.*}` what the expression takes."""
    pieces, end = [], 0
    for found in _PLACEHOLDER.finditer(path):
        pieces.append(re.escape(path[end : found.start()]))
        pieces.append(f"(?P<{found[1]}>{found[2] or '[^/]+'})")
        end = found.end()
    return re.compile("".join([*pieces, re.escape(path[end:])]))


class Table:
    """All routes. Of several patterns that fit, the route that was described first is meant."""

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
        """Return the route of a path (without version) and what stands at its placeholders."""
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
