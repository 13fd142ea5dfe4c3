"""Names of a layer's entries: whiteouts, and names that are refused. Pure functions."""

from __future__ import annotations

import re

from runtime.image.errors import LayerError

WHITEOUT = ".wh."
OPAQUE = ".wh..wh..opq"
_AUFS = ".wh..wh."
_UNUSUAL = re.compile(r"(?:^|/)\.{0,2}(?:/|$)|\0")
"""Names that entry_path() must check: a slash at an end, a double slash, `.`, `..`, NUL."""


def entry_path(name: str) -> str:
    """Return the path of an archive entry relative to the root ("" is the root itself).

    LayerError for absolute names, `..` and NUL: archivers do not need them, and each is a known escape.
    """
    if not _UNUSUAL.search(name):
        return name
    if name.startswith("/"):
        raise LayerError(f"layer entry {name!r} is absolute; refused, rebuild the layer with relative names")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise LayerError(f"layer entry {name!r} leaves the layer by `..`; refused, do not trust this image")
    if "\0" in name:
        raise LayerError(f"layer entry {name!r} has a NUL byte in its name; refused")
    return "/".join(parts)


def whiteout_target(path: str) -> str | None:
    """Return the path that a whiteout entry hides; None if `path` is not a whiteout, or is aufs metadata.

    LayerError for a whiteout of nothing, `.` or `..`.
    """
    parent, _, base = path.rpartition("/")
    if not base.startswith(WHITEOUT) or base.startswith(_AUFS):
        return None
    hidden = base.removeprefix(WHITEOUT)
    if hidden in ("", ".", ".."):
        raise LayerError(
            f"layer entry {path!r} is a whiteout of {hidden!r}; refused, do not trust this image"
        )
    return f"{parent}/{hidden}" if parent else hidden


def is_aufs_metadata(path: str) -> bool:
    """Say whether `path` is aufs metadata, which is not part of the image."""
    return any(part.startswith(_AUFS) and part != OPAQUE for part in path.split("/"))
