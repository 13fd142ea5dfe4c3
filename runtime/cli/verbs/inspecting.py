"""`nn inspect`, and `inspect` of each kind: the API's documents, or each through a template."""

from __future__ import annotations

import sys

from runtime.cli.connection import jsontext
from runtime.cli.connection.http import quote
from runtime.cli.errors import CliError, DaemonError
from runtime.cli.flags.parser import FORMAT, Verb
from runtime.cli.output import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from runtime.cli.connection.client import Client
    from runtime.cli.flags.parser import CommandLine, Flag

KINDS = ("container", "image", "network", "volume")


def _fetch(client: Client, kind: str, name: str, args: CommandLine) -> Any:
    match kind:
        case "container":
            return client.get(f"/containers/{quote(name)}/json", {"size": args.on("size")})
        case "image":
            return client.get(f"/images/{quote(name, b'/:@')}/json")
        case "network":
            return client.get(f"/networks/{quote(name)}", {"verbose": args.on("verbose")})
        case _:
            return client.get(f"/volumes/{quote(name)}")


def inspect(client: Client, args: CommandLine) -> int:
    """Show an object: the first kind that has the name."""
    asked = args.text("type")
    if asked and asked not in KINDS:
        raise CliError(f'"{asked}" is not a valid value for --type; write {", ".join(KINDS)}', 1)
    return _all(args, lambda name: _find(client, (asked,) if asked else KINDS, name, args))


def _find(client: Client, kinds: tuple[str, ...], name: str, args: CommandLine) -> Any:
    for kind in kinds:
        try:
            return _fetch(client, kind, name, args)
        except DaemonError as error:
            if error.code not in (400, 404, 501) or len(kinds) == 1:
                raise
    raise CliError(
        f"Error: No such object: {name}; nn ps -a, nn images, nn network ls and nn volume ls list them",
        1,
    )


def _of(kind: str) -> Callable[[Client, CommandLine], int]:
    return lambda client, args: _all(args, lambda name: _fetch(client, kind, name, args))


def _all(args: CommandLine, fetch: Callable[[str], Any]) -> int:
    """Show found objects, then report missing ones."""
    found, status = [], 0
    faults = []
    for name in args.words:
        try:
            found.append(fetch(name))
        except CliError as error:
            faults.append(str(error))
            status = 1
    form = args.text("format")
    if form and form != "json":
        from runtime.cli.output import go_zero_values

        tables.render(form, found, {}, go_zero_values.field)
    elif form == "json":
        print(jsontext.dumps(found))
    else:
        tables.documents(found)
    sys.stdout.flush()
    for fault in faults:
        print(f"nn: {fault}", file=sys.stderr)
    return status


_FORMAT: Flag = ("format", "f", "text", "TEMPLATE", FORMAT[4])
_SIZE: Flag = ("size", "s", "bool", "", "show the size of a container's layers")
_TYPE: Flag = ("type", "", "text", "KIND", ", ".join(KINDS))
_VERBOSE: Flag = ("verbose", "v", "bool", "", "accepted and ignored: there is nothing more to show")
_HINT = "-f '{{.State.Status}}'"
ANY = Verb(inspect, "NAME...", (_FORMAT, _SIZE, _TYPE), example=f"nn inspect {_HINT} web")
CONTAINER = Verb(
    _of("container"), "CONTAINER...", (_FORMAT, _SIZE), example=f"nn container inspect {_HINT} web"
)
IMAGE = Verb(_of("image"), "IMAGE...", (_FORMAT,), example="nn image inspect -f '{{json .Config}}' debian")
NETWORK = Verb(_of("network"), "NETWORK...", (_FORMAT, _VERBOSE), example="nn network inspect bridge")
VOLUME = Verb(_of("volume"), "VOLUME...", (_FORMAT,), example="nn volume inspect -f '{{.Mountpoint}}' data")
