"""`nn rename`, `port`, `top`, `diff`."""

from __future__ import annotations

from runtime.cli.connection.http import quote
from runtime.cli.errors import CliError
from runtime.cli.flags.parser import JSON, Verb
from runtime.cli.output import tables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.cli.connection.client import Client
    from runtime.cli.flags.parser import Options

_CHANGES = ("C", "A", "D")


def rename(client: Client, options: Options) -> int:
    """Give a container another name."""
    old, new = options.words
    client.post(f"/containers/{quote(old)}/rename", {"name": new})
    return 0


def port(client: Client, options: Options) -> int:
    """List a container's published ports, or where one is published."""
    name, *asked = options.words
    found = client.get(f"/containers/{quote(name)}/json")
    bound: dict[str, Any] = (found.get("NetworkSettings") or {}).get("Ports") or {}
    if options.on("json"):
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


def top(client: Client, options: Options) -> int:
    """List a container's processes."""
    name, *arguments = options.words
    query = {"ps_args": " ".join(arguments) or None}
    found = client.get(f"/containers/{quote(name)}/top", query)
    if options.on("json"):
        return tables.documents(found)
    print(tables.aligned([found["Titles"], *(found["Processes"] or ())], 20), end="")
    return 0


def diff(client: Client, options: Options) -> int:
    """List what a container changed: C changed, A added, D deleted."""
    found = client.get(f"/containers/{quote(options.words[0])}/changes") or []
    if options.on("json"):
        return tables.documents(found)
    for change in found:
        print(f"{_CHANGES[change['Kind']]} {change['Path']}")
    return 0


RENAME = Verb(rename, "CONTAINER NAME", least=2, most=2, example="nn rename web web-old")
PORT = Verb(port, "CONTAINER [PORT[/udp]]", (JSON,), least=1, most=2, example="nn port web 80")
TOP = Verb(
    top, "CONTAINER [PS-FLAGS]", (JSON,), least=1, most=-1, program=True, example="nn top web -o pid,rss,args"
)
DIFF = Verb(diff, "CONTAINER", (JSON,), least=1, most=1, example="nn diff web")
