"""The supported versions of Docker's API, and our own version."""

from __future__ import annotations

import re
from importlib import metadata

from runtime.api.http.errors import ApiError

NEWEST = (1, 47)
OLDEST = (1, 24)

_PREFIX = re.compile(r"/v(\d+)\.(\d+)(?=/)")


def text(version: tuple[int, int]) -> str:
    """Return `1.47`."""
    return f"{version[0]}.{version[1]}"


def split_path(path: str) -> tuple[tuple[int, int], str]:
    """Return the version that a path asks for (else the newest), and the path without it. Raises ApiError."""
    found = _PREFIX.match(path)
    if found is None:
        return NEWEST, path
    version = int(found[1]), int(found[2])
    if version > NEWEST:
        raise ApiError(
            f"client version {text(version)} is too new. Maximum supported API version is {text(NEWEST)}", 400
        )
    if version < OLDEST:
        raise ApiError(
            f"client version {text(version)} is too old. Minimum supported API version is {text(OLDEST)},"
            " please upgrade your client to a newer version",
            400,
        )
    return version, path[found.end() :]


def program() -> str:
    """Return the installed version of ninetynine."""
    try:
        return metadata.version("ninetynine")
    except metadata.PackageNotFoundError:
        return "0"
