"""`nn system df`: disk use, and how much of it can be reclaimed."""

from __future__ import annotations

from runtime.cli.flags import times
from runtime.cli.flags.parser import FORMAT, JSON, Verb
from runtime.cli.output import tables, units
from runtime.cli.verbs import images, listing, volumes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.cli.connection.client import Client
    from runtime.cli.flags.parser import CommandLine, Flag

_COLUMNS = ("Type", "TotalCount", "Active", "Size", "Reclaimable")
_HEADINGS = {"TotalCount": "TOTAL"}


def usage(client: Client, args: CommandLine) -> int:
    """Show the daemon's use of its disk."""
    found = client.get("/system/df")
    if args.on("json"):
        return tables.documents(found)
    if args.on("verbose") and args.text("format", "table") != "table":
        form = args.text("format")
        tables.render("{{json .}}" if form == "json" else tables.unescaped(form), [_documents(found)], {})
        return 0
    if args.on("verbose"):
        return _verbose(found)
    return tables.show(args, rows(found), _COLUMNS, _HEADINGS, key="Type")


def rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    """Return one row for each kind."""
    made, containers = found.get("Images") or [], found.get("Containers") or []
    named, cache = found.get("Volumes") or [], found.get("BuildCache") or []
    layers = found.get("LayersSize") or 0
    used = [one for one in made if one.get("Containers", 0) > 0]
    kept = sum(one["Size"] - max(one.get("SharedSize", 0), 0) for one in used)
    running = [one for one in containers if one.get("State") in ("running", "paused", "restarting")]
    idle = sum(one.get("SizeRw") or 0 for one in containers if one not in running)
    sizes = [(one.get("UsageData") or {}) for one in named]
    free = sum(max(one.get("Size", 0), 0) for one in sizes if one.get("RefCount", 0) == 0)
    return [
        _row("Images", len(made), len(used), layers, layers - kept),
        _row(
            "Containers",
            len(containers),
            len(running),
            sum(one.get("SizeRw") or 0 for one in containers),
            idle,
        ),
        _row(
            "Local Volumes",
            len(named),
            sum(1 for one in sizes if one.get("RefCount", 0) > 0),
            sum(max(one.get("Size", 0), 0) for one in sizes),
            free,
        ),
        _row(
            "Build Cache",
            len(cache),
            sum(1 for one in cache if one.get("InUse")),
            sum(one["Size"] for one in cache if not one.get("Shared")),
            sum(one["Size"] for one in cache if not one.get("InUse") and not one.get("Shared")),
        ),
    ]


def _row(kind: str, total: int, active: int, size: int, free: int) -> dict[str, Any]:
    share = f" ({max(free, 0) * 100 // size}%)" if size > 0 and kind != "Build Cache" else ""
    return {
        "Type": kind,
        "TotalCount": str(total),
        "Active": str(active),
        "Size": units.size(size),
        "Reclaimable": units.size(max(free, 0)) + share,
    }


def _documents(found: dict[str, Any]) -> dict[str, Any]:
    """Return all rows of `-v`, for templates: `{{range .Images}}…`."""
    return {
        "Images": [
            {**next(images.rows(one, digests=False, short=False)), "Digest": ""}
            for one in found.get("Images") or ()
        ],
        "Containers": [
            listing.row(one | {"SizeRootFs": 0}, truncate=False) for one in found.get("Containers") or ()
        ],
        "Volumes": [
            {**volumes.row(one), **dict(zip(("Name", "Links", "Size"), _volume(one), strict=True))}
            for one in found.get("Volumes") or ()
        ],
        "BuildCache": [_cache_row(one) for one in found.get("BuildCache") or ()],
    }


def _cache_row(one: dict[str, Any]) -> dict[str, Any]:
    _, kind, size, created, last, count, shared = _cached(one)
    return {
        "ID": one["ID"] + "*" * bool(one.get("InUse")),
        "Parent": ", ".join(one.get("Parents") or ()),
        "CacheType": kind,
        "Description": one.get("Description", ""),
        "Size": size,
        "CreatedAt": one.get("CreatedAt") or "",
        "CreatedSince": created,
        "LastUsedAt": one.get("LastUsedAt") or "",
        "LastUsedSince": last,
        "UsageCount": count,
        "InUse": str(bool(one.get("InUse"))).lower(),
        "Shared": shared,
    }


def _verbose(found: dict[str, Any]) -> int:
    print("Images space usage:\n")
    _table(
        ("REPOSITORY", "TAG", "IMAGE ID", "CREATED", "SIZE", "SHARED SIZE", "UNIQUE SIZE", "CONTAINERS"),
        [_image(one) for one in found.get("Images") or ()],
    )
    print("\nContainers space usage:\n")
    shown = [listing.row(one | {"SizeRootFs": 0}) for one in found.get("Containers") or ()]
    names = ("ID", "Image", "Command", "LocalVolumes", "Size", "RunningFor", "Status", "Names")
    headings = ("CONTAINER ID", "IMAGE", "COMMAND", "LOCAL VOLUMES", "SIZE", "CREATED", "STATUS", "NAMES")
    _table(headings, [tuple(one[name] for name in names) for one in shown])
    print("\nLocal Volumes space usage:\n")
    _table(("VOLUME NAME", "LINKS", "SIZE"), [_volume(one) for one in found.get("Volumes") or ()])
    cache = found.get("BuildCache") or []
    whole = sum(one["Size"] for one in cache if not one.get("Shared"))
    print(f"\nBuild cache usage: {units.size(whole)}\n")
    _table(
        ("CACHE ID", "CACHE TYPE", "SIZE", "CREATED", "LAST USED", "USAGE", "SHARED"),
        [_cached(one) for one in cache],
    )
    return 0


def _image(one: dict[str, Any]) -> tuple[str, ...]:
    repository, _, tag = (one.get("RepoTags") or ["<none>:<none>"])[0].rpartition(":")
    shared = max(one.get("SharedSize", 0), 0)
    sizes = (units.size(one["Size"], 3), units.size(shared), units.size(one["Size"] - shared))
    used = str(max(one.get("Containers", 0), 0))
    return (repository, tag, units.short_id(one["Id"]), times.since(one["Created"]), *sizes, used)


def _volume(one: dict[str, Any]) -> tuple[str, ...]:
    data = one.get("UsageData") or {}
    return one["Name"], str(data.get("RefCount", 0)), units.size(max(data.get("Size", 0), 0))


def _cached(one: dict[str, Any]) -> tuple[str, ...]:
    when = (times.since(one.get(name) or "") for name in ("CreatedAt", "LastUsedAt"))
    used = str(one.get("UsageCount", 0))
    return (one["ID"][:12], one["Type"], units.size(one["Size"], 3), *when, used, str(one["Shared"]).lower())


def _table(headings: tuple[str, ...], lines: list[tuple[str, ...]]) -> None:
    print(tables.aligned([headings, *lines]), end="")


_VERBOSE: Flag = ("verbose", "v", "bool", "", "show each image, container and volume")
DF = Verb(usage, "", (FORMAT, JSON, _VERBOSE), example="nn system df -v")
