"""`nn login`, `nn logout`, and the credentials in docker's config.json that requests carry."""

from __future__ import annotations

import json
import sys
from base64 import urlsafe_b64encode
from functools import partial
from pathlib import Path

from runtime.cli import packages
from runtime.cli.connection.endpoint import docker_directory
from runtime.cli.errors import CliError
from runtime.cli.flags.parser import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any

    from runtime.cli.connection.client import Client
    from runtime.cli.flags.parser import CommandLine, Flag


def credentials() -> ModuleType:
    """Return the module that reads and writes credentials; it needs installed packages."""
    packages.activate()
    from runtime.image.registry import credentials as module

    return module


def config_path() -> Path:
    """Return the file that has the credentials."""
    return Path(docker_directory()) / "config.json"


def host_of(image: str) -> str:
    """`host:5000/app:1` → `host:5000`; "" for docker's hub."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else ""


def header(image: str) -> tuple[tuple[str, str], ...]:
    """Return the header X-Registry-Auth for an image's registry; none without credentials for it."""
    if not _configured():
        return ()
    keeper = credentials()
    host = keeper.key_of(host_of(image))
    known = _guarded(lambda: keeper.lookup(host, config_path()))
    return (("X-Registry-Auth", keeper.encode_header(host, known)),) if known else ()


def all_headers() -> tuple[tuple[str, str], ...]:
    """Return the header X-Registry-Config with all credentials, for build."""
    if not _configured():
        return ()
    keeper = credentials()
    config = json.loads(config_path().read_text() or "{}")
    hosts = {*(config.get("auths") or {}), *(config.get("credHelpers") or {})}
    found = {}
    for host in hosts:
        known = _guarded(partial(keeper.lookup, host, config_path()))
        if known:
            found[host] = {
                "username": known.username,
                "password": known.password,
                "identitytoken": known.token,
            }
    text = urlsafe_b64encode(json.dumps(found).encode()).decode()
    return (("X-Registry-Config", text),) if found else ()


def _configured() -> bool:
    """Whether docker's config.json exists; without it there are no credentials."""
    from os.path import isfile  # unlike pathlib's, False without permission

    return isfile(config_path())  # noqa: PTH113


def _guarded(look: Callable[[], Any]) -> Any:
    """Look up credentials; turn a helper's failure into a CliError."""
    try:
        return look()
    except Exception as error:
        if type(error).__name__ != "CredentialsError":
            raise
        raise CliError(str(error), 1) from error


def login(client: Client, args: CommandLine) -> int:
    """Let the daemon try user and password at a registry; store them if they are right."""
    keeper = credentials()
    host = keeper.key_of(args.words[0] if args.words else "")
    if args.given("password") and args.on("password-stdin"):
        raise CliError("use either --password or --password-stdin")
    known = keeper.lookup(host, config_path())
    user = args.text("username") or (known.username if known else "") or _ask("Username: ")
    password = _password(args)
    if not user or not password:
        raise CliError(
            "login needs a user and a password; give -u NAME and --password-stdin, or a terminal", 1
        )
    body = {"username": user, "password": password, "serveraddress": host}
    answer = client.post("/auth", body=body) or {}
    token = str(answer.get("IdentityToken") or "")
    kept = keeper.Credential(user, "" if token else password, token)
    where = keeper.store(host, kept, config_path())
    print(answer.get("Status") or "Login Succeeded")
    print(f"stored in {where}", file=sys.stderr)
    return 0


def _password(args: CommandLine) -> str:
    if args.on("password-stdin"):
        return sys.stdin.readline().rstrip("\r\n")
    if args.given("password"):
        print("WARNING! --password shows it to others on this host; use --password-stdin", file=sys.stderr)
        return args.text("password")
    import getpass

    return getpass.getpass("Password: ") if sys.stdin.isatty() else ""


def _ask(prompt: str) -> str:
    if not sys.stdin.isatty():
        return ""
    print(prompt, end="", flush=True)
    return sys.stdin.readline().strip()


def logout(_client: Client, args: CommandLine) -> int:
    """Remove what login stored."""
    keeper = credentials()
    host = keeper.key_of(args.words[0] if args.words else "")
    if keeper.erase(host, config_path()):
        print(f"Removing login credentials for {host}")
    else:
        print(f"Not logged in to {host}")
    return 0


_FLAGS: tuple[Flag, ...] = (
    ("password", "p", "text", "PASSWORD", "the password; --password-stdin is safer"),
    ("password-stdin", "", "bool", "", "read it from standard input"),
    ("username", "u", "text", "NAME", "the user"),
)
_EXAMPLE = "nn login -u me --password-stdin registry.example:5000 < password"
LOGIN = Verb(login, "[REGISTRY]", _FLAGS, example=_EXAMPLE)
LOGOUT = Verb(logout, "[REGISTRY]", example="nn logout registry.example:5000")
