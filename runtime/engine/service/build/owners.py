"""`--chown` and `--chmod` of COPY and ADD: names to numbers, by the image's passwd and group."""

from __future__ import annotations

from runtime.engine.errors import BuildError
from runtime.image.layers.layer_view import LayerView

Owner = tuple[int, int]


def parse_owner(text: str, tree: LayerView) -> Owner:
    """Return uid and gid of `user[:group]`; a group that is not given has the user's name or number.

    Raises BuildError for a name that the image does not know.
    """
    user, colon, group = text.partition(":")
    return _number(tree, "passwd", user, "user"), _number(tree, "group", group if colon else user, "group")


def parse_mode(text: str) -> int:
    """Return the bits of an octal mode. Raises BuildError."""
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise BuildError(
            f"invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777"
        )
    return mode


def _number(tree: LayerView, file: str, name: str, kind: str) -> int:
    for line in tree.read(f"etc/{file}").decode("utf-8", "replace").splitlines():
        row = line.split(":")
        if len(row) > 2 and row[0] == name and row[2].isdecimal():
            return int(row[2])
    if name.isdecimal():
        return int(name)
    short = "uid" if kind == "user" else "gid"
    raise BuildError(
        f"unable to convert uid/gid chown string to host mapping: can't find {short} for {kind} {name}: "
        f"no such {kind}: {name}"
    )
