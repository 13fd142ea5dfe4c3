"""`nn network create`, `ls`, `rm`, `connect`, `disconnect`."""

from __future__ import annotations

from runtime.cli.connection.client import filters
from runtime.cli.connection.http import quote
from runtime.cli.errors import CliError
from runtime.cli.flags import flag_values, run_flag_values, times
from runtime.cli.flags.parser import FILTER, FORMAT, JSON, NO_TRUNC, QUIET, Verb
from runtime.cli.output import tables, units
from runtime.cli.verbs import batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from runtime.cli.connection.client import Client
    from runtime.cli.flags.parser import CommandLine, Flag


def create(client: Client, args: CommandLine) -> int:
    """Create a network; print its id."""
    body: dict[str, Any] = {
        "Name": args.words[0],
        "CheckDuplicate": True,
        "Driver": args.text("driver", "bridge"),
        "Internal": args.on("internal"),
        "Attachable": args.on("attachable"),
        "EnableIPv6": args.on("ipv6"),
        "Options": flag_values.mapping("--opt", args.many("opt")),
        "Labels": flag_values.labels(args.many("label")),
        "IPAM": {
            "Driver": args.text("ipam-driver", "default"),
            "Options": flag_values.mapping("--ipam-opt", args.many("ipam-opt")),
            "Config": _ipam(args),
        },
    }
    print(client.post("/networks/create", body=body)["Id"])
    return 0


def _ipam(args: CommandLine) -> list[dict[str, Any]]:
    """Return the subnets, each with the range, gateway and other addresses within it."""
    import ipaddress

    pools: list[tuple[Any, dict[str, Any]]] = []
    for text in args.many("subnet"):
        try:
            subnet = ipaddress.ip_network(text, strict=False)
        except ValueError as error:
            raise CliError(f'--subnet "{text}": {error}; write it as in 10.5.0.0/24', 1) from error
        for other, pool in pools:
            if subnet.version == other.version and subnet.overlaps(other):
                raise CliError(
                    f"--subnet {text} and {pool['Subnet']}: "
                    "multiple overlapping subnet configuration is not supported",
                    1,
                )
        pools.append((subnet, {"Subnet": text}))

    def pool_of(flag: str, text: str) -> dict[str, Any]:
        try:
            address = ipaddress.ip_interface(text).ip
        except ValueError as error:
            raise CliError(f'{flag} "{text}": {error}', 1) from error
        for network, pool in pools:
            if address.version == network.version and address in network:
                return pool
        raise CliError(f'{flag} "{text}": no --subnet contains it; give one that does', 1)

    for flag, field, what in (("ip-range", "IPRange", "ranges"), ("gateway", "Gateway", "gateways")):
        for text in args.many(flag):
            pool = pool_of("--" + flag, text)
            if field in pool:
                raise CliError(
                    f"cannot configure multiple {what} ({text}, {pool[field]}) "
                    f"for the same subnet ({pool['Subnet']})",
                    1,
                )
            pool[field] = text
    for text in args.many("aux-address"):
        name, address = flag_values.pair("--aux-address", text)
        pool_of("--aux-address", address).setdefault("AuxiliaryAddresses", {})[name] = address
    return [pool for _, pool in pools]


def networks(client: Client, args: CommandLine) -> int:
    """List networks."""
    tables.choose_format(args, "networksFormat")
    found = client.get("/networks", {"filters": filters(args.many("filter"))})
    found.sort(key=lambda one: one["Name"])
    if args.on("json"):
        return tables.documents(found)
    rows = [_row(one, short=not args.on("no-trunc")) for one in found]
    return tables.show(args, rows, ("ID", "Name", "Driver", "Scope"), {"ID": "NETWORK ID"})


def _row(found: Mapping[str, Any], *, short: bool) -> dict[str, Any]:
    return {
        "ID": units.short_id(found["Id"]) if short else found["Id"],
        "Name": found["Name"],
        "Driver": found["Driver"],
        "Scope": found["Scope"],
        "IPv6": str(bool(found.get("EnableIPv6"))).lower(),
        "Internal": str(bool(found.get("Internal"))).lower(),
        "Labels": tables.labels_text(found.get("Labels")),
        "Label": tables.label_of(found.get("Labels")),
        "CreatedAt": times.utc(found.get("Created", "")),
    }


def remove(client: Client, args: CommandLine) -> int:
    """Remove networks."""

    def act(name: str) -> None:
        client.delete(f"/networks/{quote(name)}")

    return batch.in_order(args.words, act, forced=args.on("force"))


def connect(client: Client, args: CommandLine) -> int:
    """Plug a container into a network."""
    network, container = args.words
    settings: dict[str, Any] = {}
    if args.given("alias"):
        settings["Aliases"] = args.many("alias")
    if args.given("link"):
        settings["Links"] = args.many("link")
    if args.given("driver-opt"):
        settings["DriverOpts"] = flag_values.mapping("--driver-opt", args.many("driver-opt"))
    run_flag_values.add_addresses(args, settings)
    body = {"Container": container, "EndpointConfig": settings}
    client.post(f"/networks/{quote(network)}/connect", body=body)
    return 0


def disconnect(client: Client, args: CommandLine) -> int:
    """Unplug a container from a network."""
    network, container = args.words
    body = {"Container": container, "Force": args.on("force")}
    client.post(f"/networks/{quote(network)}/disconnect", body=body)
    return 0


_CREATE_FLAGS: tuple[Flag, ...] = (
    ("attachable", "", "bool", "", "accepted and ignored: every network is"),
    ("aux-address", "", "many", "NAME=IP", "an address that containers do not get"),
    ("driver", "d", "text", "DRIVER", "bridge (default)"),
    ("gateway", "", "many", "IP", "the bridge's own address"),
    ("internal", "", "bool", "", "no traffic leaves it"),
    ("ip-range", "", "many", "SUBNET", "where containers' addresses come from"),
    ("ipam-driver", "", "text", "DRIVER", "only 'default' is supported"),
    ("ipam-opt", "", "many", "NAME=VALUE", "option of the IPAM driver"),
    ("ipv6", "", "bool", "", "enable IPv6"),
    ("label", "", "many", "NAME=VALUE", "set a label"),
    ("opt", "o", "many", "NAME=VALUE", "option of the driver"),
    ("subnet", "", "many", "SUBNET", "as in 10.5.0.0/24"),
)
_CONNECT_FLAGS: tuple[Flag, ...] = (
    ("alias", "", "many", "NAME", "another name there"),
    ("driver-opt", "", "many", "NAME=VALUE", "option of the driver"),
    ("ip", "", "text", "IP", "its IPv4 address"),
    ("ip6", "", "text", "IP", "its IPv6 address"),
    ("link", "", "many", "NAME[:ALIAS]", "link to another container"),
    ("link-local-ip", "", "many", "IP", "link-local address"),
)
_FORCE: Flag = ("force", "f", "bool", "", "no error when it does not exist")
LS = Verb(
    networks, "", (FILTER, FORMAT, JSON, NO_TRUNC, QUIET), example="nn network ls --filter driver=bridge"
)
CREATE = Verb(create, "NETWORK", _CREATE_FLAGS, example="nn network create --subnet 10.5.0.0/24 inner")
RM = Verb(remove, "NETWORK...", (_FORCE,), example="nn network rm inner")
CONNECT = Verb(
    connect, "NETWORK CONTAINER", _CONNECT_FLAGS, example="nn network connect --alias db inner box"
)
DISCONNECT = Verb(disconnect, "NETWORK CONTAINER", (_FORCE,), example="nn network disconnect inner box")
