"""`nn login`, `nn logout`: kept where docker keeps it, so that both know each other's."""

from __future__ import annotations

import getpass
import sys

from runtime.cli.errors import CliError
from runtime.cli.flags.parser import Verb

TYPE_CHECKING = False
if TYPE_CHECKING:
    from runtime.cli.connection.client import Client
    from runtime.cli.flags.parser import Flag, Options


def login(client: Client, options: Options) -> int:
    """Ask the daemon to try user and password at a registry, and keep them when they are right."""
    from runtime.cli.verbs.registries import config_path, credentials

    keeper = credentials()
    host = keeper.key_of(options.words[0] if options.words else "")
    if options.given("password") and options.on("password-stdin"):
        raise CliError("--password and --password-stdin exclude each other; leave one of them away")
    known = keeper.lookup(host, config_path())
    user = options.text("username") or (known.username if known else "") or _ask("Username: ")
    password = _password(options)
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
    print(f"kept in {where}", file=sys.stderr)
    return 0


def _password(options: Options) -> str:
    if options.on("password-stdin"):
        return sys.stdin.readline().rstrip("\r\n")
    if options.given("password"):
        print("WARNING! --password shows it to others on this host; use --password-stdin", file=sys.stderr)
        return options.text("password")
    return getpass.getpass("Password: ") if sys.stdin.isatty() else ""


def _ask(prompt: str) -> str:
    if not sys.stdin.isatty():
        return ""
    print(prompt, end="", flush=True)
    return sys.stdin.readline().strip()


def logout(_client: Client, options: Options) -> int:
    """Forget what login kept."""
    from runtime.cli.verbs.registries import config_path, credentials

    keeper = credentials()
    host = keeper.key_of(options.words[0] if options.words else "")
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
LOGIN = Verb(login, "[REGISTRY]", _FLAGS, most=1, example=_EXAMPLE)
LOGOUT = Verb(logout, "[REGISTRY]", most=1, example="nn logout registry.example:5000")
