"""`nn ps`: containers as rows."""

from __future__ import annotations

from runtime.cli.connection import jsontext
from runtime.cli.connection.client import filters
from runtime.cli.flags import times
from runtime.cli.flags.parser import FILTER, FORMAT, JSON, NO_TRUNC, QUIET, Verb
from runtime.cli.output import tables, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from runtime.cli.connection.client import Client, Query
    from runtime.cli.flags.parser import CommandLine, Flag

HEADINGS = {
    "ID": "CONTAINER ID",
    "CreatedAt": "CREATED AT",
    "RunningFor": "CREATED",
    "LocalVolumes": "LOCAL VOLUMES",
}
_COLUMNS = ("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names")


def containers(client: Client, args: CommandLine) -> int:
    """List containers."""
    tables.choose_format(args, "psFormat")
    form = args.text("format", "table")
    with_size = args.on("size") or ".Size" in form or "json ." in form
    last = -1 if args.number("last") is None else args.number("last")
    query: Query = {
        "all": args.on("all") or args.on("latest") or (last or 0) > 0,
        "size": with_size,
        "limit": 1 if args.on("latest") else (last if (last or 0) > 0 else None),
        "filters": filters(args.many("filter")),
    }
    found = client.get("/containers/json", query)
    if args.on("json"):
        return tables.documents(found)
    rows = [row(one, truncate=not args.on("no-trunc")) for one in found]
    columns = (*_COLUMNS, "Size") if args.on("size") else _COLUMNS
    return tables.show(args, rows, columns, HEADINGS)


def row(found: Mapping[str, Any], *, truncate: bool = True) -> dict[str, Any]:
    """One container of the API's list → fields by docker's names."""
    labels = found.get("Labels") or {}
    command = found.get("Command") or ""
    mounts = [_mounted(one, truncate) for one in found.get("Mounts") or ()]
    image = found.get("Image") or "<no image>"
    if truncate and image.startswith("sha256:"):
        image = units.short_id(image)
    networks = (found.get("NetworkSettings") or {}).get("Networks") or {}
    return {
        "ID": units.short_id(found["Id"]) if truncate else found["Id"],
        "Image": image,
        "Command": jsontext.pretty(units.shorten(command, 20) if truncate else command),
        "CreatedAt": times.shown(found["Created"]),
        "RunningFor": times.since(max(found["Created"], 1)),
        "State": found.get("State", ""),
        "Status": found.get("Status", ""),
        "Ports": ports(found.get("Ports") or ()),
        "Names": names(found.get("Names") or (), truncate),
        "Size": _size(found),
        "Labels": tables.labels_text(labels),
        "Label": tables.label_of(labels),
        "Mounts": ",".join(mounts),
        "LocalVolumes": str(sum(1 for one in found.get("Mounts") or () if one.get("Driver") == "local")),
        "Networks": ",".join(networks),
    }


def names(found: Any, truncate: bool) -> str:
    """`/web`, `/other/alias` → `web`; links, too, unless truncated."""
    bare = [name.lstrip("/") for name in found]
    return ",".join(name for name in bare if not truncate or "/" not in name)


def _mounted(mount: Mapping[str, Any], truncate: bool) -> str:
    name = mount.get("Name") or mount.get("Source") or ""
    return units.shorten(name, 15) if truncate else name


def _size(found: Mapping[str, Any]) -> str:
    text = units.size(found.get("SizeRw") or 0, 3)
    root = found.get("SizeRootFs") or 0
    return f"{text} (virtual {units.size(root, 3)})" if root > 0 else text


def ports(found: Any) -> str:
    """`0.0.0.0:8080->80/tcp, 443/tcp`: neighbouring ports become a range."""
    keyed = sorted(
        (one["Type"], one.get("IP") or "", one["PrivatePort"], one.get("PublicPort") or 0) for one in found
    )
    ranges: list[list[Any]] = []
    for kind, address, inside, outside in keyed:
        last = ranges[-1] if ranges else None
        if last and last[:2] == [kind, address] and _follows(last, inside, outside):
            last[4] += 1
        else:
            ranges.append([kind, address, inside, outside, 0])
    return ", ".join(_range(*one) for one in ranges)


def _follows(last: list[Any], inside: int, outside: int) -> bool:
    """Whether a port continues a range, on both sides."""
    more = last[4] + 1
    return bool(last[2] + more == inside and (last[3] + more if last[3] else 0) == outside)


def _range(kind: str, address: str, inside: int, outside: int, more: int) -> str:
    within = f"{inside}-{inside + more}" if more else f"{inside}"
    if not outside:
        return f"{within}/{kind}"
    published = f"{outside}-{outside + more}" if more else f"{outside}"
    host = f"[{address}]" if ":" in address else address
    return f"{host}:{published}->{within}/{kind}"


_FLAGS: tuple[Flag, ...] = (
    ("all", "a", "bool", "", "show stopped ones, too"),
    FILTER,
    FORMAT,
    JSON,
    ("last", "n", "int", "N", "show the N newest, in any state"),
    ("latest", "l", "bool", "", "show the newest, in any state"),
    NO_TRUNC,
    QUIET,
    ("size", "s", "bool", "", "show the size of their layers"),
)
LS = Verb(
    containers, "", _FLAGS, example="nn ps -a --filter status=exited --format '{{.Names}}: {{.Status}}'"
)
