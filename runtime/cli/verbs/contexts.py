"""`nn context`: names for daemons. One directory each, below contexts/ in the configuration directory."""

from __future__ import annotations

import shutil
from pathlib import Path

from runtime.cli.connection import jsontext
from runtime.cli.connection.endpoint import DEFAULT_HOST, FORMS, Endpoint, config_directory, environment
from runtime.cli.errors import CliError
from runtime.cli.flags import mounts
from runtime.cli.flags.parser import FORMAT, JSON, QUIET, Verb
from runtime.cli.output import tables
from runtime.cli.verbs import batch

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from runtime.cli.connection.client import Client
    from runtime.cli.flags.parser import Flag, Options

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-+")
_FILES = ("ca", "cert", "key")
_FIELDS = "write host=ADDRESS[,ca=FILE,cert=FILE,key=FILE,skip-tls-verify=true], or from=CONTEXT"


class Context:
    """A named daemon: its address, a description, and our copies of its PEM files in its directory."""

    def __init__(self, name: str, host: str, description: str = "", skip_verify: bool = False) -> None:
        self.name = name
        self.host = host
        self.description = description
        self.skip_verify = skip_verify

    @property
    def directory(self) -> Path:
        """Where it is kept."""
        return _directory() / self.name

    def files(self) -> dict[str, Path]:
        """Its PEM files."""
        paths = {one: self.directory / f"{one}.pem" for one in _FILES}
        return {one: path for one, path in paths.items() if path.is_file()}

    def endpoint(self) -> Endpoint:
        """Return how to reach it."""
        found = Endpoint(self.host, context=self.name)
        files = {one: str(path) for one, path in self.files().items()}
        found.ca, found.cert, found.key = (files.get(one, "") for one in _FILES)
        found.verify = not self.skip_verify
        found.tls = bool(files) or self.skip_verify
        return found

    def document(self) -> dict[str, Any]:
        """Return it in docker's form, as inspect shows it."""
        docker = {"Host": self.host, "SkipTLSVerify": self.skip_verify}
        names = [path.name for path in self.files().values()]
        return {
            "Name": self.name,
            "Metadata": {"Description": self.description} if self.description else {},
            "Endpoints": {"docker": docker},
            "TLSMaterial": {"docker": names} if names else {},
            "Storage": {"MetadataPath": str(self.directory) if self.name != "default" else "<IN MEMORY>"},
        }


def _directory() -> Path:
    return Path(config_directory()) / "contexts"


def load(name: str) -> Context:
    """Return a context. CliError when there is none of that name."""
    if name == "default":
        return Context(
            "default", environment("NN_HOST", "DOCKER_HOST") or DEFAULT_HOST, "Chosen by the environment"
        )
    path = _directory() / _checked(name) / "context.json"
    try:
        document = jsontext.loads(path.read_text())
        docker = document["Endpoints"]["docker"]
        described = document.get("Metadata", {}).get("Description", "")
        return Context(name, docker["Host"], described, bool(docker.get("SkipTLSVerify")))
    except FileNotFoundError:
        raise CliError(f"there is no context {name}; `nn context ls` lists them", 1) from None
    except (OSError, ValueError, KeyError) as error:
        raise CliError(f"read {path}: {error}; remove it with `nn context rm {name}`", 1) from error


def _checked(name: str) -> str:
    if not name or not set(name) <= _LETTERS or name[0] in ".-+_":
        raise CliError(f"context {name!r}: a name has letters, digits, and within them _ . + -", 1)
    return name


def stored() -> list[str]:
    """Return the names of all that were created."""
    if not _directory().is_dir():
        return []
    return sorted(path.parent.name for path in _directory().glob("*/context.json"))


def current() -> str:
    """Return the name of the context that is used without flags."""
    if environment("NN_HOST", "DOCKER_HOST"):
        return "default"
    path = Path(config_directory()) / "current"
    kept = path.read_text().strip() if path.is_file() else ""
    return environment("NN_CONTEXT", "DOCKER_CONTEXT") or kept or "default"


# ---- verbs -------------------------------------------------------------------------------------------------


def create(_client: Client, options: Options) -> int:
    """Keep a daemon's address under a name."""
    name = _checked(options.words[0])
    if name == "default" or name in stored():
        raise CliError(f"context {name} is there already; `nn context update {name}` changes it", 1)
    _save(name, options, Context(name, DEFAULT_HOST), {})
    print(name)
    return 0


def update(_client: Client, options: Options) -> int:
    """Change a context."""
    name = options.words[0]
    if name == "default":
        raise CliError("the context default is what the environment says; create one of another name", 1)
    old = load(name)
    _save(name, options, old, {one: path.read_bytes() for one, path in old.files().items()})
    print(name)
    return 0


def _save(name: str, options: Options, old: Context, files: dict[str, bytes]) -> None:
    """Write a context: what flags say, in place of what was there."""
    made = Context(name, old.host, options.text("description", old.description), old.skip_verify)
    source = options.text("from")
    for field, value in _fields(options.text("docker")):
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
    _write(made, files)


def _fields(text: str) -> list[tuple[str, str]]:
    found = []
    for one in mounts.fields("--docker", text) if text else ():
        name, _, value = one.partition("=")
        if name not in ("host", "from", "skip-tls-verify", *_FILES) or not value:
            raise CliError(f'--docker "{text}": {_FIELDS}', 1)
        found.append((name, value))
    return sorted(found, key=lambda pair: pair[0] != "host")


def _read(field: str, path: str) -> bytes:
    try:
        return Path(path).expanduser().read_bytes()
    except OSError as error:
        raise CliError(f"{field} {path}: {error.strerror}; name a PEM file", 1) from error


def _write(made: Context, files: dict[str, bytes]) -> None:
    """Replace the directory, for its owner's eyes only."""
    target = made.directory
    new = target.with_name(f".{made.name}.new")
    try:
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700, parents=True)
        for one, data in files.items():
            path = new / f"{one}.pem"
            path.touch(mode=0o600)
            path.write_bytes(data)
        document = made.document()
        (new / "context.json").write_text(
            jsontext.pretty({key: document[key] for key in ("Name", "Metadata", "Endpoints")})
        )
        shutil.rmtree(target, ignore_errors=True)
        new.rename(target)
    except OSError as error:
        raise CliError(f"write context {made.name}: {error}", 1) from error


def ls(_client: Client, options: Options) -> int:
    """List contexts; the one in use has a star."""
    used = current()
    found = [load(name) for name in ("default", *stored())]
    if options.on("json"):
        return tables.documents([one.document() for one in found])
    rows = [
        {
            "Name": one.name
            + (" *" if one.name == used and options.text("format", "table") == "table" else ""),
            "Description": one.description,
            "DockerEndpoint": one.host,
            "Current": one.name == used,
            "Error": "",
            "ContextType": "moby",
        }
        for one in found
    ]
    if options.on("quiet"):
        print("\n".join(one.name for one in found))
        return 0
    headings = {"DockerEndpoint": "DOCKER ENDPOINT"}
    columns = ("Name", "Description", "DockerEndpoint", "Error")
    return tables.show(options, rows, columns, headings, key="Name")


def use(_client: Client, options: Options) -> int:
    """Make a context the one that is used without flags."""
    name = load(options.words[0]).name
    path = Path(config_directory()) / "current"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_name(".current.new")
        new.write_text(name + "\n")
        new.rename(path)
    except OSError as error:
        raise CliError(f"write {path}: {error.strerror}", 1) from error
    print(name)
    chosen = [one for one in ("NN_HOST", "DOCKER_HOST", "NN_CONTEXT", "DOCKER_CONTEXT") if environment(one)]
    if chosen:
        import sys

        print(f"nn: warning: {chosen[0]} is set and goes before it; unset it", file=sys.stderr)
    return 0


def show(_client: Client, _options: Options) -> int:
    """Print the name of the context in use."""
    print(current())
    return 0


def remove(_client: Client, options: Options) -> int:
    """Remove contexts."""

    def act(name: str) -> None:
        if name == "default":
            raise CliError("the context default cannot be removed", 1)
        if name == current() and not options.on("force"):
            raise CliError(f"context {name} is in use; `nn context use default` first, or give -f", 1)
        if not (_directory() / _checked(name)).is_dir():
            raise CliError(f"there is no context {name}; `nn context ls` lists them", 1)
        was_current = name == current()
        shutil.rmtree(_directory() / name)
        if was_current:
            (Path(config_directory()) / "current").unlink(missing_ok=True)

    return batch.of(options.words, act)


def inspect(_client: Client, options: Options) -> int:
    """Show all of contexts, the one in use without a name."""
    found = [load(name).document() for name in options.words or [current()]]
    form = options.text("format")
    if form:
        tables.render("{{json .}}" if form == "json" else form, found, {})
        return 0
    return tables.documents(found)


_SAVED: tuple[Flag, ...] = (
    ("description", "", "text", "TEXT", "for people"),
    ("docker", "", "text", "FIELDS", _FIELDS.removeprefix("write ")),
    ("from", "", "text", "CONTEXT", "copy another one"),
)
_FORM: Flag = ("format", "f", "text", "TEMPLATE", FORMAT[4])
_NEW = "nn context create far --docker host=ssh://admin@far"
CREATE = Verb(create, "NAME", _SAVED, least=1, most=1, example=_NEW)
UPDATE = Verb(
    update, "NAME", _SAVED, least=1, most=1, example="nn context update far --description 'the big one'"
)
LS = Verb(ls, "", (FORMAT, JSON, QUIET), example="nn context ls")
USE = Verb(use, "NAME", least=1, most=1, example="nn context use far")
SHOW = Verb(show, "", example="nn context show")
RM = Verb(
    remove,
    "NAME...",
    (("force", "f", "bool", "", "although it is in use"),),
    least=1,
    most=-1,
    example="nn context rm far",
)
INSPECT = Verb(inspect, "[NAME...]", (_FORM,), most=-1, example="nn context inspect far")
