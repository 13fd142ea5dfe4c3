"""`nn info`, `version`, `events`, `system dial-stdio`."""

from __future__ import annotations

import posix
import sys

from runtime.cli import packages
from runtime.cli.connection import jsontext
from runtime.cli.connection.client import filters
from runtime.cli.connection.http import PIECE
from runtime.cli.errors import CliError, DaemonError
from runtime.cli.flags import times
from runtime.cli.flags.parser import FILTER, JSON, Verb
from runtime.cli.output import tables, units

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.cli.connection.client import Client, Query
    from runtime.cli.flags.parser import CommandLine, Flag
    from runtime.cli.output.templates import Template

API_VERSION = "1.45"
_BAD_FORMAT = 64
"""Docker's exit status of `events` for a wrong template."""
_NO_EVENT: dict[str, Any] = {
    "Type": "", "Action": "", "Actor": {"ID": "", "Attributes": {}}, "time": 0, "timeNano": 0
}  # fmt: skip


# ---- version -----------------------------------------------------------------------------------------------


def version(client: Client, args: CommandLine) -> int:
    """Show the versions of nn and the daemon."""
    fault: CliError | None = None
    server: dict[str, Any] | None = None
    try:
        server = client.get("/version")
    except DaemonError:
        raise
    except CliError as error:
        fault = error
    found = {"Client": _own(client), "Server": server}
    form = args.text("format")
    if form == "json" or args.on("json"):
        print(jsontext.dumps(found) if form == "json" else jsontext.pretty(found))
    elif form:
        tables.render(form, [found], {})
    else:
        _print_version(found["Client"] or {}, server)
    if fault is not None:
        sys.stdout.flush()
        raise CliError(str(fault), 1)
    return 0


def own_version() -> str:
    """Return the installed version, from the name of its .dist-info directory: importlib.metadata is slow."""
    ours = __file__.rpartition("/runtime/")[0]
    python = sys.executable.rpartition("/bin/")[0]
    for place in (
        ours,
        f"{python}/lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages",
    ):
        for name in _names(place):
            if name.startswith("ninetynine-") and name.endswith(".dist-info"):
                return name.removeprefix("ninetynine-").removesuffix(".dist-info")
    packages.activate()
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    try:
        return installed("ninetynine")
    except PackageNotFoundError:
        return "unknown"


def _names(directory: str) -> list[str]:
    try:
        return posix.listdir(directory)
    except OSError:
        return []


def _own(client: Client) -> dict[str, Any]:
    machine = posix.uname().machine
    return {
        "Version": own_version(),
        "ApiVersion": API_VERSION,
        "DefaultAPIVersion": API_VERSION,
        "Os": sys.platform,
        "Arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(machine, machine),
        "PythonVersion": sys.version.partition(" ")[0],
        "Context": client.endpoint.context,
    }


def _print_version(own: dict[str, Any], server: dict[str, Any] | None) -> None:
    print("Client: ninetynine")
    _facts([("Version", own["Version"]), ("API version", own["ApiVersion"])])
    _facts([("Python version", own["PythonVersion"]), ("OS/Arch", f"{own['Os']}/{own['Arch']}")])
    _facts([("Context", own["Context"])])
    if server is None:
        return
    name = (server.get("Platform") or {}).get("Name")
    print(f"\nServer: {name}" if name else "\nServer:")
    least = server.get("MinAPIVersion")
    api = server.get("ApiVersion", "") + (f" (minimum version {least})" if least else "")
    _facts([("Version", server.get("Version", "")), ("API version", api)])
    _facts([("OS/Arch", f"{server.get('Os', '')}/{server.get('Arch', '')}")])
    for part in server.get("Components") or ():
        print(f" {part['Name']}: {part['Version']}")


def _facts(rows: list[tuple[str, Any]]) -> None:
    for name, value in rows:
        print(f" {name + ':':17} {value}")


# ---- info --------------------------------------------------------------------------------------------------


def info(client: Client, args: CommandLine) -> int:
    """Show facts about the daemon."""
    found = client.get("/info")
    found["ClientInfo"] = {**_own(client), "Plugins": [], "Warnings": None}
    form = args.text("format")
    if args.on("json") or form == "json":
        print(jsontext.dumps(found) if form == "json" else jsontext.pretty(found))
        return 0
    if form:
        tables.render(form, [found], {})
        return 0
    print(
        f"Client: ninetynine\n Version:    {own_version()}\n Context:    {client.endpoint.context}\n\nServer:"
    )
    for name, value in _info_rows(found):
        if value is None:
            print(f" {name}")
        elif value != "":
            print(f" {name}: {value}")
    for warning in found.get("Warnings") or ():
        sys.stdout.flush()
        print(warning, file=sys.stderr)
    return 0


def _info_rows(found: dict[str, Any]) -> list[tuple[str, Any]]:
    plugins = (found.get("Plugins") or {}).items()
    security = [row for one in found.get("SecurityOptions") or () for row in _security(one)]
    registries = found.get("RegistryConfig") or {}
    return [
        ("Containers", found.get("Containers")),
        (" Running", found.get("ContainersRunning")),
        (" Paused", found.get("ContainersPaused")),
        (" Stopped", found.get("ContainersStopped")),
        ("Images", found.get("Images")),
        ("Server Version", found.get("ServerVersion")),
        ("Storage Driver", found.get("Driver")),
        *[(f" {name}", value) for name, value in found.get("DriverStatus") or ()],
        ("Logging Driver", found.get("LoggingDriver")),
        ("Cgroup Driver", found.get("CgroupDriver")),
        ("Cgroup Version", found.get("CgroupVersion")),
        *_listed("Plugins", [(kind, " ".join(names or ())) for kind, names in plugins if names]),
        ("Swarm", (found.get("Swarm") or {}).get("LocalNodeState")),
        ("Runtimes", " ".join(sorted(found.get("Runtimes") or ()))),
        ("Default Runtime", found.get("DefaultRuntime")),
        ("Init Binary", found.get("InitBinary")),
        ("containerd version", _commit(found, "ContainerdCommit")),
        ("runc version", _commit(found, "RuncCommit")),
        ("init version", _commit(found, "InitCommit")),
        *_listed("Security Options", security),
        ("Kernel Version", found.get("KernelVersion")),
        ("Operating System", found.get("OperatingSystem")),
        ("OSType", found.get("OSType")),
        ("Architecture", found.get("Architecture")),
        ("CPUs", found.get("NCPU")),
        ("Total Memory", units.memory(found.get("MemTotal") or 0)),
        ("Name", found.get("Name")),
        ("ID", found.get("ID")),
        ("Docker Root Dir", found.get("DockerRootDir")),
        ("Debug Mode", _yes(found.get("Debug"))),
        ("HTTP Proxy", found.get("HttpProxy") or ""),
        ("HTTPS Proxy", found.get("HttpsProxy") or ""),
        ("No Proxy", found.get("NoProxy") or ""),
        *_listed("Labels", [(one, None) for one in found.get("Labels") or ()]),
        ("Experimental", _yes(found.get("ExperimentalBuild"))),
        *_listed("Insecure Registries", [(one, None) for one in _insecure(registries)]),
        *_listed("Registry Mirrors", [(one, None) for one in registries.get("Mirrors") or ()]),
        ("Live Restore Enabled", _yes(found.get("LiveRestoreEnabled"))),
        *_listed("Default Address Pools", _pools(found)),
    ]


def _yes(value: object) -> str:
    return "true" if value else "false"


def _commit(found: dict[str, Any], field: str) -> str:
    """Return a component's version; our daemon does not use any."""
    return str((found.get(field) or {}).get("ID") or "none")


def _insecure(registries: dict[str, Any]) -> list[str]:
    indexes = (registries.get("IndexConfigs") or {}).values()
    named = [one["Name"] for one in indexes if not one.get("Secure")]
    return [*named, *(registries.get("InsecureRegistryCIDRs") or ())]


def _pools(found: dict[str, Any]) -> list[tuple[str, Any]]:
    return [
        (f"Base: {one['Base']}, Size: {one['Size']}", None) for one in found.get("DefaultAddressPools") or ()
    ]


def _listed(title: str, below: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """Return a title and the rows below it, indented; nothing without rows."""
    return [(title + ":", None), *[(" " + name, value) for name, value in below]] if below else []


def _security(text: str) -> list[tuple[str, Any]]:
    """`name=seccomp,profile=builtin` → `seccomp`, and below it `Profile: builtin`."""
    pairs = [one.partition("=")[::2] for one in text.split(",")]
    return [(value, None) if name == "name" else (" " + name.capitalize(), value) for name, value in pairs]


# ---- events ------------------------------------------------------------------------------------------------


def events(client: Client, args: CommandLine) -> int:
    """Show events as they happen; with --until end there."""
    query: Query = {"filters": filters(args.many("filter"))}
    for key in ("since", "until"):
        if args.given(key):
            query[key] = times.moment("--" + key, args.text(key))
    form = args.text("format")
    if args.on("json") or form == "json":
        form = "{{json .}}"
    template = _event_template(form) if form else None
    for event in client.lines("GET", "/events", query):
        print(template.render(event) if template else event_line(event), flush=True)
    return 0


def _event_template(form: str) -> Template:
    """Parse a template and try it, so that its errors are reported before the first event."""
    from runtime.cli.output import go_zero_values
    from runtime.cli.output.templates import Template

    try:
        template = Template(form, go_zero_values.field)
        template.render(_NO_EVENT)
    except CliError as error:
        raise CliError(f"Error parsing format: {error}", _BAD_FORMAT) from error
    return template


def event_line(event: dict[str, Any]) -> str:
    """`2026-01-31T10:00:00.000000000Z container start ID (image=debian, name=web)`."""
    moment = event.get("timeNano") or event.get("time", 0) * 10**9
    actor = event.get("Actor") or {}
    attributes = ", ".join(
        f"{name}={value}" for name, value in sorted((actor.get("Attributes") or {}).items())
    )
    text = f"{times.rfc3339(moment)} {event.get('Type', '')} {event.get('Action', '')} {actor.get('ID', '')}"
    return f"{text} ({attributes})" if attributes else text


# ---- the remote end of ssh --------------------------------------------------------------------------------


def dial(client: Client, _options: CommandLine) -> int:
    """Join stdin and stdout to the daemon's socket until it ends; the end of stdin ends our half of it."""
    import threading

    from runtime.cli.connection.session import receive, write

    sock = client.connect().sock

    def send() -> None:
        try:
            while data := posix.read(0, PIECE):
                sock.sendall(data)
            sock.shutdown(1)
        except OSError:
            pass  # the other direction sees the end

    threading.Thread(target=send, daemon=True).start()
    while data := receive(sock):
        write(1, data)
    return 0


_FORM: Flag = ("format", "f", "text", "TEMPLATE", "json, or a Go template such as '{{.Server.Version}}'")
_EVENT_FLAGS: tuple[Flag, ...] = (
    FILTER,
    ("format", "", "text", "TEMPLATE", "json, or a Go template such as '{{.Actor.ID}}'"),
    JSON,
    ("since", "", "text", "TIME", "from this time on, as in 2026-01-31T10:00:00Z or 10m (ago)"),
    ("until", "", "text", "TIME", "end at this time"),
)
VERSION = Verb(version, "", (_FORM, JSON), example="nn version -f '{{.Server.Version}}'")
INFO = Verb(info, "", (_FORM, JSON), example="nn info -f '{{.ContainersRunning}}'")
EVENTS = Verb(events, "", _EVENT_FLAGS, example="nn events --filter type=container --filter event=die")
DIAL = Verb(dial, "", example="ssh host nn system dial-stdio")
