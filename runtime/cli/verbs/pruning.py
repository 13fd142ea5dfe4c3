"""`prune` of each kind: ask, remove, print what was removed and how much space that freed."""

from __future__ import annotations

import sys

from runtime.cli.connection.client import filters
from runtime.cli.connection.endpoint import docker_directory, docker_setting
from runtime.cli.errors import CliError
from runtime.cli.flags import flag_values
from runtime.cli.flags.parser import FORCE, Verb
from runtime.cli.output import units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.cli.connection.client import Client, Query
    from runtime.cli.flags.parser import CommandLine, Flag

_KINDS = {
    "containers": ("ContainersDeleted", "Deleted Containers:"),
    "networks": ("NetworksDeleted", "Deleted Networks:"),
    "volumes": ("VolumesDeleted", "Deleted Volumes:"),
    "images": ("ImagesDeleted", "Deleted Images:"),
}


def ask(question: str) -> bool:
    """Ask on the terminal; only `y` and `yes` mean yes."""
    print(f"{question}\nAre you sure you want to continue? [y/N] ", end="", flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _agreed(args: CommandLine, warning: str, wanted: list[str]) -> bool:
    only = f"; only what matches {', '.join(wanted)}" if wanted else ""
    return args.on("force") or ask(f"WARNING! This will remove {warning}{only}.")


def _wanted(args: CommandLine) -> list[str]:
    """Return --filter, and those pruneFilters of docker's config.json that no --filter contradicts."""
    try:
        standing = docker_setting("pruneFilters") or []
        if not isinstance(standing, list) or not all(isinstance(one, str) for one in standing):
            raise ValueError("pruneFilters is not a list of strings")
    except ValueError as error:  # fatal: a filter may protect what the user needs
        raise CliError(f"read {docker_directory()}/config.json: {error}; correct it", 1) from error
    given = args.many("filter")
    return [*given, *(one for one in standing if "=" in one and _opposite(one) not in given)]


def _opposite(wanted: str) -> str:
    """`label=a` → `label!=a`, and back; "" for other filters."""
    name, _, value = wanted.partition("=")
    other = {"label": "label!", "label!": "label"}.get(name)
    return f"{other}={value}" if other else ""


def _prune(client: Client, kind: str, wanted: list[str], **more: list[str]) -> int:
    """Prune one kind, print what was removed, return the freed bytes."""
    answer: dict[str, Any] = client.post(f"/{kind}/prune", {"filters": filters(wanted, **more)}) or {}
    field, title = _KINDS[kind]
    gone = answer.get(field) or []
    if gone:
        print(title)
        for one in gone:
            print(one if isinstance(one, str) else _image_line(one))
        print()
    return _freed(answer)


def _freed(answer: dict[str, Any] | None) -> int:
    return int((answer or {}).get("SpaceReclaimed") or 0)


def _image_line(one: dict[str, str]) -> str:
    return f"untagged: {one['Untagged']}" if one.get("Untagged") else f"deleted: {one.get('Deleted', '')}"


def _reclaimed(count: int) -> int:
    print(f"Total reclaimed space: {units.size(count)}")
    return 0


def containers(client: Client, args: CommandLine) -> int:
    """Remove all stopped containers."""
    wanted = _wanted(args)
    if not _agreed(args, "all stopped containers", wanted):
        return 0
    return _reclaimed(_prune(client, "containers", wanted))


def images(client: Client, args: CommandLine) -> int:
    """Remove images without a name; with -a all that no container uses."""
    every, wanted = args.on("all"), _wanted(args)
    what = "all images that no container uses" if every else "all images without a name"
    if not _agreed(args, what, wanted):
        return 0
    dangling = "false" if every else "true"
    return _reclaimed(_prune(client, "images", wanted, dangling=[dangling]))


def networks(client: Client, args: CommandLine) -> int:
    """Remove networks without containers."""
    wanted = _wanted(args)
    if _agreed(args, "all custom networks that no container uses", wanted):
        _prune(client, "networks", wanted)
    return 0


def volumes(client: Client, args: CommandLine) -> int:
    """Remove volumes without containers; with -a those with a name, too."""
    every, wanted = args.on("all"), _wanted(args)
    what = "all" if every else "all anonymous"
    if not _agreed(args, f"{what} volumes that no container uses", wanted):
        return 0
    more = {"all": ["true"]} if every else {}
    return _reclaimed(_prune(client, "volumes", wanted, **more))


def builder(client: Client, args: CommandLine) -> int:
    """Remove the build cache."""
    wanted = _wanted(args)
    if not _agreed(args, "the build cache", wanted):
        return 0
    query: Query = {"all": args.on("all"), "filters": filters(wanted)}
    if args.given("keep-storage"):
        query["keep-storage"] = flag_values.size("--keep-storage", args.text("keep-storage"))
    return _reclaimed(_freed(client.post("/build/prune", query)))


def system(client: Client, args: CommandLine) -> int:
    """Remove all that is unused; volumes only when asked."""
    wanted = _wanted(args)
    if args.on("volumes") and any(one.startswith("until=") for one in args.many("filter")):
        raise CliError('volumes have no age; leave out --volumes or the filter "until"')
    parts = ["all stopped containers", "all networks that no container uses"]
    parts += ["all anonymous volumes that no container uses"] if args.on("volumes") else []
    parts += ["all images that no container uses" if args.on("all") else "all images without a name"]
    if not _agreed(args, ", ".join([*parts, "the build cache"]), wanted):
        return 0
    total = _prune(client, "containers", wanted)
    _prune(client, "networks", wanted)
    if args.on("volumes"):
        total += _prune(client, "volumes", wanted)
    total += _prune(client, "images", wanted, dangling=["false" if args.on("all") else "true"])
    total += _cache(client, wanted)
    return _reclaimed(total)


def _cache(client: Client, wanted: list[str]) -> int:
    from runtime.cli.errors import DaemonError

    try:
        return _freed(client.post("/build/prune", {"filters": filters(wanted)}))
    except DaemonError as error:
        if error.code in (404, 501):
            return 0  # a daemon without a build cache
        raise


_FILTER: Flag = ("filter", "", "many", "NAME=VALUE", "only what matches, as in until=24h or label=a=b")
_ALL: Flag = ("all", "a", "bool", "", "those with a name, too")
_COMMON = (FORCE, _FILTER)
CONTAINERS = Verb(containers, "", _COMMON, example="nn container prune -f --filter until=24h")
IMAGES = Verb(images, "", (*_COMMON, _ALL), example="nn image prune -af")
NETWORKS = Verb(networks, "", _COMMON, example="nn network prune -f")
VOLUMES = Verb(volumes, "", (*_COMMON, _ALL), example="nn volume prune -f")
_KEEP: Flag = ("keep-storage", "", "text", "BYTES", "keep this much of it")
BUILDER = Verb(builder, "", (*_COMMON, _ALL, _KEEP), example="nn builder prune -f")
SYSTEM = Verb(
    system,
    "",
    (*_COMMON, _ALL, ("volumes", "", "bool", "", "anonymous volumes, too")),
    example="nn system prune -af --volumes",
)
