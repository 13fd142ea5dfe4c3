"""Credentials for registries: docker's config.json and its `docker-credential-*` helpers.

Imports only the standard library, since the client loads it before it connects to the daemon.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from runtime.image.registry.registry_errors import CredentialsError

HUB_KEY = "https://index.docker.io/v1/"
_TOKEN_USER = "<token>"
_HELPER_S = 30.0
_HOST = re.compile(r"[A-Za-z0-9._:\[\]-]{1,255}")


class Credential(NamedTuple):
    """A user's credential. token: an identity token, used instead of the password."""

    username: str = ""
    password: str = ""
    token: str = ""

    def __repr__(self) -> str:
        """Hide the secret."""
        return f"Credential({self.username!r})"


def config_path() -> Path:
    """Return the path of the user's config.json (in `$DOCKER_CONFIG` or ~/.docker)."""
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "config.json"


def key_of(host: str) -> str:
    """Return the key of a registry's credentials: its host, or for Docker Hub its old address."""
    bare = host.removeprefix("https://").removeprefix("http://").partition("/")[0]
    if not bare or bare in ("docker.io", "index.docker.io", "registry-1.docker.io"):
        return HUB_KEY
    return bare


def lookup(host: str, path: Path | None = None) -> Credential | None:
    """Find the credential for `host[:port]` in credHelpers, credsStore or the file, in this order."""
    where = path or config_path()
    config = _read(where)
    key = key_of(host)
    helper = _helper_for(config, key)
    if helper:
        found = _ask(helper, key)
        if found is not None:
            return found
    auths = _table(config, "auths", where)
    for name, entry in auths.items():
        if key_of(name) == key and isinstance(entry, dict):
            return _from_entry(entry, name, where)
    return None


def store(host: str, credential: Credential, path: Path | None = None) -> str:
    """Store a credential in the helper that config.json names, or else in the file; return where."""
    where = path or config_path()
    config = _read(where)
    key = key_of(host)
    helper = _helper_for(config, key)
    auths = dict(_table(config, "auths", where))
    if helper:
        name, secret = (
            (_TOKEN_USER, credential.token)
            if credential.token
            else (credential.username, credential.password)
        )
        _run(helper, "store", json.dumps({"ServerURL": key, "Username": name, "Secret": secret}))
        auths[key] = {}
    else:
        pair = base64.b64encode(f"{credential.username}:{credential.password}".encode()).decode()
        auths[key] = {"auth": pair} | ({"identitytoken": credential.token} if credential.token else {})
    _write(where, config | {"auths": auths})
    return f"docker-credential-{helper}" if helper else str(where)


def erase(host: str, path: Path | None = None) -> bool:
    """Erase a credential; False when there was none."""
    where = path or config_path()
    config = _read(where)
    key = key_of(host)
    helper = _helper_for(config, key)
    auths = _table(config, "auths", where)
    kept = {name: entry for name, entry in auths.items() if key_of(name) != key}
    known = len(kept) != len(auths)
    if helper:
        for name in _spellings(key, auths):
            if name in auths or _ask(helper, name) is not None:
                _run(helper, "erase", name)
                known = True
    if len(kept) != len(auths):
        _write(where, config | {"auths": kept})
    return known


def _spellings(key: str, auths: dict[str, Any]) -> list[str]:
    """Return the keys that a helper may use for a registry: old clients used URLs."""
    schemes = ("https://", "http://") if key != HUB_KEY else ()
    old = [scheme + key for scheme in schemes] + [name for name in auths if key_of(name) == key]
    return list(dict.fromkeys([key, *old]))


def encode_header(host: str, credential: Credential | None) -> str:
    """Encode the value of `X-Registry-Auth`."""
    document: dict[str, str] = {}
    if credential is not None:
        document = {"serveraddress": key_of(host)}
        if credential.token:
            document["identitytoken"] = credential.token
        else:
            document |= {"username": credential.username, "password": credential.password}
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode()


def decode_header(value: str) -> Credential | None:
    """Decode `X-Registry-Auth`, in either base64 alphabet, padded or not; None when it is empty."""
    text = value.strip().translate(str.maketrans("+/", "-_"))
    if not text:
        return None
    try:
        document = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise CredentialsError(f"read X-Registry-Auth: {error}; send base64url of a JSON object") from None
    return from_document(document)


def from_document(document: object) -> Credential | None:
    """Read docker's AuthConfig (lower case names), as X-Registry-Auth and POST /auth carry it."""
    if not isinstance(document, dict):
        return None
    user, password = str(document.get("username") or ""), str(document.get("password") or "")
    token = str(document.get("identitytoken") or "")
    if not user and not token and document.get("auth"):
        user, password = _pair(str(document["auth"]), "X-Registry-Auth")
    return Credential(user, password, token) if user or token else None


# ---- config.json -------------------------------------------------------------------------------------------


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise CredentialsError(f"read {path}: {error.strerror}; let this user read it") from error
    if not text.strip():
        return {}
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CredentialsError(f"read {path}: {error}; correct the JSON") from error
    if not isinstance(document, dict):
        raise CredentialsError(f"read {path}: it is not a JSON object; correct it")
    return document


def _write(path: Path, config: dict[str, Any]) -> None:
    """Replace the file, mode 0600; a crash leaves the old one or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "w") as file:
            json.dump(config, file, indent="\t")
            file.flush()
            os.fsync(fd)
        temporary.replace(path.resolve())
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise CredentialsError(f"write {path}: {error.strerror}; let this user write there") from error


def _table(config: dict[str, Any], name: str, path: Path) -> dict[str, Any]:
    table = config.get(name) or {}
    if not isinstance(table, dict):
        raise CredentialsError(f"read {path}: {name} is not a JSON object; correct it")
    return table


def _from_entry(entry: dict[str, Any], name: str, path: Path) -> Credential | None:
    token = str(entry.get("identitytoken") or "")
    user, password = str(entry.get("username") or ""), str(entry.get("password") or "")
    if entry.get("auth"):
        user, password = _pair(str(entry["auth"]), f"{path}, auths of {name}")
    return Credential(user, password, token) if user or token else None


def _pair(text: str, where: str) -> tuple[str, str]:
    try:
        user, colon, password = base64.b64decode(text + "=" * (-len(text) % 4)).decode().partition(":")
    except ValueError:
        colon = ""
    if not colon:
        raise CredentialsError(f"read {where}: auth is not base64 of user:password; log in again")
    return user, password.rstrip("\0")


# ---- helpers -----------------------------------------------------------------------------------------------


def _helper_for(config: dict[str, Any], key: str) -> str:
    helpers = config.get("credHelpers")
    named = helpers.get(key) if isinstance(helpers, dict) else None
    if named is None and key == HUB_KEY and isinstance(helpers, dict):
        named = helpers.get("docker.io")
    helper = named if named is not None else config.get("credsStore")
    helper = helper if isinstance(helper, str) else ""
    if helper and not helper.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise CredentialsError(f"credential helper {helper!r}: not a valid program name; correct config.json")
    return helper


def _ask(helper: str, key: str) -> Credential | None:
    answer = _run(helper, "get", key)
    if answer is None:
        return None
    try:
        document = json.loads(answer)
        user, secret = str(document["Username"]), str(document["Secret"])
    except (ValueError, KeyError, TypeError) as error:
        raise CredentialsError(
            f"docker-credential-{helper} get: its answer is malformed ({error!r}); repair the helper"
        ) from None
    return Credential(token=secret) if user == _TOKEN_USER else Credential(user, secret)


def _run(helper: str, verb: str, text: str) -> str | None:
    """Run a helper; None when it has nothing for the registry. Its output is never put into a message."""
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run([program, verb], input=text, capture_output=True, text=True, timeout=_HELPER_S)
    except FileNotFoundError:
        raise CredentialsError(
            f"{program}: not found in PATH, but config.json names it; install it, or remove it there"
        ) from None
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError) as error:
        raise CredentialsError(f"{program} {verb}: {type(error).__name__}; repair the helper") from None
    if done.returncode == 0:
        return done.stdout
    said = (done.stdout + done.stderr).lower()
    if "not found" in said or "no credentials" in said:
        return None
    raise CredentialsError(f"{program} {verb}: exit status {done.returncode}; repair the helper")


def check_server(server: str) -> None:
    """Refuse an invalid registry address. Raises CredentialsError."""
    key = key_of(server)
    try:
        fits = key == HUB_KEY or bool(_HOST.fullmatch(key) and urlsplit(f"//{key}").port != 0)
    except ValueError:  # brackets around a non-address, a port above 65535
        fits = False
    if not fits:
        raise CredentialsError(f"unable to parse server address {server[:200]!r}: write HOST or HOST:PORT")
