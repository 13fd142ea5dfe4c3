"""`nn search`: what a registry finds."""

from __future__ import annotations

from runtime.cli.connection.client import filters
from runtime.cli.flags.parser import FILTER, FORMAT, JSON, NO_TRUNC, Verb
from runtime.cli.output import tables, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from runtime.cli.connection.client import Client, Query
    from runtime.cli.flags.parser import Flag, Options

_COLUMNS = ("Name", "Description", "StarCount", "IsOfficial")
_HEADINGS = {"StarCount": "STARS", "IsOfficial": "OFFICIAL"}


def search(client: Client, options: Options) -> int:
    """Ask a registry, Docker Hub where the term names none, for images by a word of their name."""
    query: Query = {
        "term": options.words[0],
        "limit": options.number("limit"),
        "filters": filters(options.many("filter")),
    }
    found = client.get("/images/search", query) or []
    found.sort(key=lambda one: -one.get("star_count", 0))
    if options.on("json"):
        return tables.documents(found)
    whole = options.text("format").replace(" ", "") in ("json", "{{json.}}")
    marks = ("false", "true") if whole else ("", "[OK]")
    rows = [_row(one, marks, truncate=not options.on("no-trunc")) for one in found]
    return tables.show(options, rows, _COLUMNS, _HEADINGS)


def _row(found: Mapping[str, Any], marks: tuple[str, str], *, truncate: bool) -> dict[str, Any]:
    """One image. marks: how no and yes are told."""
    described = " ".join((found.get("description") or "").split())
    return {
        "Name": found["name"],
        "Description": units.shorten(described, 45) if truncate else described,
        "StarCount": str(found.get("star_count", 0)),
        "IsOfficial": marks[bool(found.get("is_official"))],
        "IsAutomated": marks[bool(found.get("is_automated"))],
    }


_FLAGS: tuple[Flag, ...] = (
    FILTER,
    FORMAT,
    JSON,
    ("limit", "", "int", "N", "at most so many"),
    NO_TRUNC,
)
SEARCH = Verb(search, "TERM", _FLAGS, least=1, most=1, example="nn search --filter stars=10 nginx")
