"""What nn itself has to know of registries: whose credentials go with a request to the daemon."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from functools import partial
from pathlib import Path

from runtime.cli.connection.endpoint import docker_directory
from runtime.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType
    from typing import Any


def credentials() -> ModuleType:
    """Return the module that keeps them; it needs installed packages."""
    from runtime.cli.start.nn import activate_packages

    activate_packages()
    from runtime.image.registry import credentials as module

    return module


def config_path() -> Path:
    """Return where they are kept."""
    return Path(docker_directory()) / "config.json"


def host_of(image: str) -> str:
    """`host:5000/app:1` → `host:5000`; "" for docker's hub."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else ""


def header(image: str) -> tuple[tuple[str, str], ...]:
    """Return the header X-Registry-Auth for an image's registry; none when no user is known there."""
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
    """Whether there is docker's config.json, without which nobody has logged in."""
    from os.path import isfile  # unlike pathlib's, False where we may not look

    return isfile(config_path())  # noqa: PTH113


def _guarded(look: Callable[[], Any]) -> Any:
    """Look up; what a broken helper says becomes our own error."""
    try:
        return look()
    except Exception as error:
        if type(error).__name__ != "CredentialsError":
            raise
        raise CliError(str(error), 1) from error
