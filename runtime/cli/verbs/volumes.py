"""`nn volume create`, `ls`, `rm`."""

from __future__ import annotations

from runtime.cli.connection.client import filters
from runtime.cli.connection.http import quote
from runtime.cli.errors import CliError, DaemonError
from runtime.cli.flags import flag_values
from runtime.cli.flags.parser import FILTER, FORMAT, JSON, QUIET, Verb
from runtime.cli.output import tables
from runtime.cli.verbs import batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from runtime.cli.connection.client import Client
    from runtime.cli.flags.parser import CommandLine, Flag


def create(client: Client, args: CommandLine) -> int:
    """Create a volume; print its name."""
    if args.words and args.given("name"):
        raise CliError("give the name once: as argument or with --name")
    body = {
        "Name": args.words[0] if args.words else args.text("name"),
        "Driver": args.text("driver", "local"),
        "DriverOpts": flag_values.mapping("--opt", args.many("opt")),
        "Labels": flag_values.labels(args.many("label")),
    }
    print(client.post("/volumes/create", body=body)["Name"])
    return 0


def volumes(client: Client, args: CommandLine) -> int:
    """List volumes."""
    tables.choose_format(args, "volumesFormat")
    found = client.get("/volumes", {"filters": filters(args.many("filter"))})["Volumes"] or []
    found.sort(key=lambda one: one["Name"])
    if args.on("json"):
        return tables.documents(found)
    headings = {"Name": "VOLUME NAME"}
    return tables.show(args, map(row, found), ("Driver", "Name"), headings, key="Name")


def row(found: Mapping[str, Any]) -> dict[str, Any]:
    """One volume of the API's list → fields by docker's names."""
    return {
        "Name": found["Name"],
        "Driver": found["Driver"],
        "Scope": found.get("Scope", ""),
        "Mountpoint": found["Mountpoint"],
        "Labels": tables.labels_text(found.get("Labels")),
        **dict.fromkeys(("Availability", "Group", "Status"), "N/A"),  # of docker's cluster volumes
        "Label": tables.label_of(found.get("Labels")),
        "Links": "N/A",
        "Size": "N/A",
    }


def remove(client: Client, args: CommandLine) -> int:
    """Remove volumes."""

    def act(name: str) -> None:
        try:
            client.delete(f"/volumes/{quote(name)}", {"force": args.on("force")})
        except DaemonError as error:
            if not (args.on("force") and error.code == 404):
                raise

    return batch.in_order(args.words, act)


_CREATE_FLAGS: tuple[Flag, ...] = (
    ("driver", "d", "text", "DRIVER", "local (default)"),
    ("label", "", "many", "NAME=VALUE", "set a label"),
    ("name", "", "text", "NAME", "its name, as the argument"),
    ("opt", "o", "many", "NAME=VALUE", "option of the driver"),
)
_FORCE: Flag = ("force", "f", "bool", "", "no error when it does not exist")
CREATE = Verb(create, "[VOLUME]", _CREATE_FLAGS, example="nn volume create --label tier=db data")
LS = Verb(volumes, "", (FILTER, FORMAT, JSON, QUIET), example="nn volume ls --filter dangling=true")
RM = Verb(remove, "VOLUME...", (_FORCE,), example="nn volume rm data")
