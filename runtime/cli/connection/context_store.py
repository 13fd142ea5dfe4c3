"""Contexts: named daemons, one directory each below contexts/ in the configuration directory."""

from __future__ import annotations

import shutil
from pathlib import Path

from runtime.cli.connection import jsontext
from runtime.cli.connection.endpoint import DEFAULT_HOST, DaemonEndpoint, config_directory, environment
from runtime.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_LETTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-+")
FILES = ("ca", "cert", "key")


class DaemonContext:
    """A named daemon: its address, a description, and copies of its PEM files in its directory."""

    def __init__(self, name: str, host: str, description: str = "", skip_verify: bool = False) -> None:
        self.name = name
        self.host = host
        self.description = description
        self.skip_verify = skip_verify

    @property
    def directory(self) -> Path:
        """The directory it is stored in."""
        return _directory() / self.name

    def files(self) -> dict[str, Path]:
        """Return its PEM files by their kind."""
        paths = {one: self.directory / f"{one}.pem" for one in FILES}
        return {one: path for one, path in paths.items() if path.is_file()}

    def endpoint(self) -> DaemonEndpoint:
        """Return the address with its TLS settings."""
        found = DaemonEndpoint(self.host, context=self.name)
        files = {one: str(path) for one, path in self.files().items()}
        found.ca, found.cert, found.key = (files.get(one, "") for one in FILES)
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


def load(name: str) -> DaemonContext:
    """Return a context. CliError when it does not exist."""
    if name == "default":
        return DaemonContext(
            "default", environment("NN_HOST", "DOCKER_HOST") or DEFAULT_HOST, "Chosen by the environment"
        )
    path = _directory() / check_name(name) / "context.json"
    try:
        document = jsontext.loads(path.read_text())
        docker = document["Endpoints"]["docker"]
        described = document.get("Metadata", {}).get("Description", "")
        return DaemonContext(name, docker["Host"], described, bool(docker.get("SkipTLSVerify")))
    except FileNotFoundError:
        raise CliError(f"there is no context {name}; `nn context ls` lists them", 1) from None
    except (OSError, ValueError, KeyError) as error:
        raise CliError(f"read {path}: {error}; remove it with `nn context rm {name}`", 1) from error


def check_name(name: str) -> str:
    """Return a context's name. CliError when it has other characters than docker allows."""
    if not name or not set(name) <= _LETTERS or name[0] in ".-+_":
        raise CliError(f"context {name!r}: a name has letters, digits and, not first, _ . + -", 1)
    return name


def stored() -> list[str]:
    """Return the names of all stored contexts."""
    if not _directory().is_dir():
        return []
    return sorted(path.parent.name for path in _directory().glob("*/context.json"))


def current() -> str:
    """Return the name of the context in use without flags."""
    if environment("NN_HOST", "DOCKER_HOST"):
        return "default"
    path = Path(config_directory()) / "current"
    kept = path.read_text().strip() if path.is_file() else ""
    return environment("NN_CONTEXT", "DOCKER_CONTEXT") or kept or "default"


def use(name: str) -> None:
    """Make a context the one in use without flags."""
    path = Path(config_directory()) / "current"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = path.with_name(".current.new")
        new.write_text(name + "\n")
        new.rename(path)
    except OSError as error:
        raise CliError(f"write {path}: {error.strerror}", 1) from error


def write(made: DaemonContext, files: dict[str, bytes]) -> None:
    """Write a context in place of the one of that name; only its owner may read it. files: its PEM files."""
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


def remove(name: str) -> None:
    """Remove a context. CliError when it does not exist."""
    if not (_directory() / check_name(name)).is_dir():
        raise CliError(f"there is no context {name}; `nn context ls` lists them", 1)
    was_current = name == current()
    shutil.rmtree(_directory() / name)
    if was_current:
        (Path(config_directory()) / "current").unlink(missing_ok=True)
