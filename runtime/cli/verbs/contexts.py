"""`nn context`: names for daemons."""

from __future__ import annotations

from pathlib import Path

from runtime.cli.connection import context_store
from runtime.cli.connection.context_store import FILES, DaemonContext, check_name, current, load, stored
from runtime.cli.connection.endpoint import DEFAULT_HOST, FORMS, environment
from runtime.cli.errors import CliError
from runtime.cli.flags import mounts
from runtime.cli.flags.parser import FORMAT, JSON, QUIET, Verb
from runtime.cli.output import tables
from runtime.cli.verbs import batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cli.connection.client import Client
    from runtime.cli.flags.parser import CommandLine, Flag

_FIELDS = "write host=ADDRESS[,ca=FILE,cert=FILE,key=FILE,skip-tls-verify=true], or from=CONTEXT"


def create(_client: Client, args: CommandLine) -> int:
    """Store a daemon's address under a name."""
    name = check_name(args.words[0])
    if name == "default" or name in stored():
        raise CliError(f"context {name} already exists; change it with `nn context update {name}`", 1)
    _save(name, args, DaemonContext(name, DEFAULT_HOST), {})
    print(name)
    return 0


def update(_client: Client, args: CommandLine) -> int:
    """Change a context."""
    name = args.words[0]
    if name == "default":
        raise CliError("the context default is set by the environment; create one with another name", 1)
    old = load(name)
    _save(name, args, old, {one: path.read_bytes() for one, path in old.files().items()})
    print(name)
    return 0


def _save(name: str, args: CommandLine, old: DaemonContext, files: dict[str, bytes]) -> None:
    """Store a context: its old settings, changed by the flags."""
    made = DaemonContext(name, old.host, args.text("description", old.description), old.skip_verify)
    source = args.text("from")
    for field, value in _fields(args.text("docker")):
        if field == "host":
            made.host, made.skip_verify, files = value, False, {}
        elif field == "from":
            source = value
        elif field == "skip-tls-verify":
            made.skip_verify = value.lower() in ("1", "true", "t")
        else:
            files[field] = _read(field, value)
    if source:
        other = load(source)
        made.host, made.skip_verify = other.host, other.skip_verify
        files = {one: path.read_bytes() for one, path in other.files().items()}
    if not made.host.startswith(("unix://", "tcp://", "http://", "https://", "ssh://")):
        raise CliError(f'address "{made.host}": {FORMS}', 1)
    context_store.write(made, files)


def _fields(text: str) -> list[tuple[str, str]]:
    found = []
    for one in mounts.fields("--docker", text) if text else ():
        name, _, value = one.partition("=")
        if name not in ("host", "from", "skip-tls-verify", *FILES) or not value:
            raise CliError(f'--docker "{text}": {_FIELDS}', 1)
        found.append((name, value))
    return sorted(found, key=lambda pair: pair[0] != "host")


def _read(field: str, path: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise CliError(f"{field} {path}: {error.strerror}; name a PEM file", 1) from error


def ls(_client: Client, args: CommandLine) -> int:
    """List contexts; the one in use has a star."""
    used = current()
    found = [load(name) for name in ("default", *stored())]
    if args.on("json"):
        return tables.documents([one.document() for one in found])
    rows = [
        {
            "Name": one.name + (" *" if one.name == used and args.text("format", "table") == "table" else ""),
            "Description": one.description,
            "DockerEndpoint": one.host,
            "Current": one.name == used,
            "Error": "",
            "ContextType": "moby",
        }
        for one in found
    ]
    if args.on("quiet"):
        print("\n".join(one.name for one in found))
        return 0
    headings = {"DockerEndpoint": "DOCKER ENDPOINT"}
    columns = ("Name", "Description", "DockerEndpoint", "Error")
    return tables.show(args, rows, columns, headings, key="Name")


def use(_client: Client, args: CommandLine) -> int:
    """Make a context the one that is used without flags."""
    name = load(args.words[0]).name
    context_store.use(name)
    print(name)
    chosen = [one for one in ("NN_HOST", "DOCKER_HOST", "NN_CONTEXT", "DOCKER_CONTEXT") if environment(one)]
    if chosen:
        import sys

        print(f"nn: warning: {chosen[0]} is set and takes precedence; unset it", file=sys.stderr)
    return 0


def show(_client: Client, _options: CommandLine) -> int:
    """Print the name of the context in use."""
    print(current())
    return 0


def remove(_client: Client, args: CommandLine) -> int:
    """Remove contexts."""

    def act(name: str) -> None:
        if name == "default":
            raise CliError("the context default cannot be removed", 1)
        if name == current() and not args.on("force"):
            raise CliError(f"context {name} is in use; `nn context use default` first, or give -f", 1)
        context_store.remove(name)

    return batch.in_order(args.words, act)


def inspect(_client: Client, args: CommandLine) -> int:
    """Show contexts' details; without a name those of the context in use."""
    found = [load(name).document() for name in args.words or [current()]]
    form = args.text("format")
    if form:
        tables.render("{{json .}}" if form == "json" else form, found, {})
        return 0
    return tables.documents(found)


_SAVED: tuple[Flag, ...] = (
    ("description", "", "text", "TEXT", "a description"),
    ("docker", "", "text", "FIELDS", _FIELDS.removeprefix("write ")),
    ("from", "", "text", "CONTEXT", "copy another context"),
)
_FORM: Flag = ("format", "f", "text", "TEMPLATE", FORMAT[4])
_NEW = "nn context create far --docker host=ssh://admin@far"
CREATE = Verb(create, "NAME", _SAVED, example=_NEW)
UPDATE = Verb(update, "NAME", _SAVED, example="nn context update far --description 'the big one'")
LS = Verb(ls, "", (FORMAT, JSON, QUIET), example="nn context ls")
USE = Verb(use, "NAME", example="nn context use far")
SHOW = Verb(show, "", example="nn context show")
_FORCE: Flag = ("force", "f", "bool", "", "remove it even if it is in use")
RM = Verb(remove, "NAME...", (_FORCE,), example="nn context rm far")
INSPECT = Verb(inspect, "[NAME...]", (_FORM,), example="nn context inspect far")
