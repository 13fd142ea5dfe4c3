"""`nn rename`, `port`, `top`, `diff`, `logs`, `update`."""

from __future__ import annotations

import sys

from runtime.cli.connection.client import Client
from runtime.cli.connection.http import quote
from runtime.cli.connection.session import write
from runtime.cli.errors import CliError
from runtime.cli.flags import run_flags, times
from runtime.cli.flags.parser import JSON, Verb
from runtime.cli.output import tables
from runtime.cli.verbs import batch
from runtime.docker_syntax.frames import FrameReader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.cli.connection.client import Query
    from runtime.cli.flags.parser import CommandLine, Flag

_CHANGES = ("C", "A", "D")
_CHANGEABLE = frozenset((
    "blkio-weight", "cpu-period", "cpu-quota", "cpu-rt-period", "cpu-rt-runtime", "cpu-shares", "cpus",
    "cpuset-cpus", "cpuset-mems", "memory", "memory-reservation", "memory-swap", "pids-limit", "restart",
))  # fmt: skip
"""The flags of `create` that `update` has, too."""


def rename(client: Client, args: CommandLine) -> int:
    """Give a container another name."""
    old, new = args.words
    client.post(f"/containers/{quote(old)}/rename", {"name": new})
    return 0


def port(client: Client, args: CommandLine) -> int:
    """List a container's published ports, or where one is published."""
    name, *asked = args.words
    found = client.get(f"/containers/{quote(name)}/json")
    bound: dict[str, Any] = (found.get("NetworkSettings") or {}).get("Ports") or {}
    if args.on("json"):
        return tables.documents(bound)
    if asked:
        wanted = asked[0] if "/" in asked[0] else f"{asked[0]}/tcp"
        if not bound.get(wanted):
            raise CliError(
                f"port {wanted} of {name} is not published; nn port {name} lists those that are", 1
            )
        bound = {wanted: bound[wanted]}
    for inside, places in sorted(bound.items(), key=_by_number):
        for place in places or ():
            text = _address(place)
            print(text if asked else f"{inside} -> {text}")
    return 0


def _by_number(item: tuple[str, Any]) -> tuple[int, str]:
    number, _, protocol = item[0].partition("/")
    return int(number), protocol


def _address(place: dict[str, str]) -> str:
    host = place.get("HostIp") or "0.0.0.0"
    return f"{f'[{host}]' if ':' in host else host}:{place['HostPort']}"


def top(client: Client, args: CommandLine) -> int:
    """List a container's processes."""
    name, *arguments = args.words
    query = {"ps_args": " ".join(arguments) or None}
    found = client.get(f"/containers/{quote(name)}/top", query)
    if args.on("json"):
        return tables.documents(found)
    print(tables.aligned([found["Titles"], *(found["Processes"] or ())], 20), end="")
    return 0


def diff(client: Client, args: CommandLine) -> int:
    """List the files that a container changed: C changed, A added, D deleted."""
    found = client.get(f"/containers/{quote(args.words[0])}/changes") or []
    if args.on("json"):
        return tables.documents(found)
    for change in found:
        print(f"{_CHANGES[change['Kind']]} {change['Path']}")
    return 0


# ---- logs ------------------------------------------------------------------------------------------------


def logs(client: Client, args: CommandLine) -> int:
    """Show a container's output, its standard error on ours."""
    name = args.words[0]
    query: Query = {
        "stdout": True,
        "stderr": True,
        "follow": args.on("follow"),
        "timestamps": args.on("timestamps"),
        "details": args.on("details"),
        "tail": args.text("tail", "all"),
    }
    for key in ("since", "until"):
        if args.given(key):
            query[key] = times.moment("--" + key, args.text(key))
    answer = client.open("GET", f"/containers/{quote(name)}/logs", query)
    frames = FrameReader() if _framed(client, name, answer.headers.get("content-type", "")) else None
    for data in answer.pieces():
        if frames is None:
            write(1, data)
            continue
        for kind, piece, _ in frames.split(data):
            write(2 if kind == 2 else 1, piece)
    if frames is not None and frames.within:
        raise CliError(f"read the log of {name}: it ended within a line; see the daemon's log", 1)
    return 0


def _framed(client: Client, name: str, kind: str) -> bool:
    """Whether the log is in frames of both streams; only newer daemons have that in the content type."""
    if "multiplexed" in kind:
        return True
    return not Client(client.endpoint).get(f"/containers/{quote(name)}/json")["Config"].get("Tty")


# ---- update ----------------------------------------------------------------------------------------------


def update_body(args: CommandLine) -> dict[str, Any]:
    """Flags → the body of `POST /containers/ID/update`; only given ones."""
    found: dict[str, Any] = {}
    run_flags.apply(args, {}, found)
    return found


def update(client: Client, args: CommandLine) -> int:
    """Change limits of containers."""
    asked = update_body(args)
    if not asked:
        raise CliError("nothing to change: give at least one flag\nsee 'nn update --help'", 1)

    def act(name: str) -> None:
        answer = client.post(f"/containers/{quote(name)}/update", body=asked) or {}
        for warning in answer.get("Warnings") or ():
            print(f"WARNING: {warning}", file=sys.stderr)

    return batch.in_order(args.words, act)


RENAME = Verb(rename, "CONTAINER NAME", example="nn rename web web-old")
PORT = Verb(port, "CONTAINER [PORT[/udp]]", (JSON,), example="nn port web 80")
TOP = Verb(top, "CONTAINER [PS-FLAGS...]", (JSON,), program=True, example="nn top web -o pid,rss,args")
DIFF = Verb(diff, "CONTAINER", (JSON,), example="nn diff web")
_LOGS_FLAGS: tuple[Flag, ...] = (
    ("details", "", "bool", "", "show the log's extra attributes"),
    ("follow", "f", "bool", "", "follow the log while it runs"),
    ("since", "", "text", "TIME", "from this time on, as in 2026-01-31T10:00:00Z or 10m (ago)"),
    ("tail", "n", "text", "N", "the last N lines"),
    ("timestamps", "t", "bool", "", "show the time of each line"),
    ("until", "", "text", "TIME", "up to this time"),
)
LOGS = Verb(logs, "CONTAINER", _LOGS_FLAGS, example="nn logs -f --tail 100 web")
_UPDATE_FLAGS = tuple(flag for flag in run_flags.CREATE if flag[0] in _CHANGEABLE)
UPDATE = Verb(update, "CONTAINER...", _UPDATE_FLAGS, example="nn update --memory 512m --restart always web")
