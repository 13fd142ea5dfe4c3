"""What programs find in every arm alike: environment, search path, idle program."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from bench.backends.base import BackendError

IDLE = ("/opt/ninetynine/idle",)
"""The main program of an instance for which none was requested."""

SEARCH_PATH = ("/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin")

MARK = "NINETYNINE_INSTANCE"


def instance_mark() -> str:
    """Return `NINETYNINE_INSTANCE=` and 16 random digits: the same length in all arms, because the size of
    the environment shifts the stack and with it some results."""
    return f"{MARK}={secrets.token_hex(8)}"


def environment(mark: str) -> tuple[str, ...]:
    """Return the environment of every program of an instance, as `NAME=value`."""
    return (f"PATH={':'.join(SEARCH_PATH)}", "HOME=/root", "LANG=C.UTF-8", "TERM=dumb", mark)


def find_program(root: Path, name: str) -> str:
    """Return the absolute path, inside `root`, of the program `name`; BackendError when there is none."""
    if name.startswith("/"):
        return name
    for directory in SEARCH_PATH:
        if os.path.lexists(f"{root}{directory}/{name}"):
            return f"{directory}/{name}"
    raise BackendError(f"exec {name}: no such program in the image; see the recipe in bench/image/recipe.py")
