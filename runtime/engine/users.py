"""Resolve `user`, `user:group`, `1000:1000` to numbers, with the container's own passwd and group."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Iterator
from pathlib import Path

from runtime.engine.errors import BadParameterError
from runtime.oci.spec import User

_MOST = (1 << 31) - 1
_NUMBER = re.compile(r"-?[0-9]{1,18}")


def resolve_user(
    text: str, layers: tuple[str, ...], groups: tuple[int | str, ...], umask: int | None
) -> User:
    """Return the numbers of `text`. `layers`, lowest first, are searched from the top for passwd and group.

    A known user brings its primary group and the groups it is a member of; `groups` (numbers or names) come
    on top. The primary group is also the first of the others: a file that denies that group is else readable
    after a setgid program (CVE-2022-36109). Raises BadParameterError, in Docker's words, for an unknown name;
    a number needs no entry.
    """
    name, _, group = text.partition(":")
    row = _find(layers, "passwd", name or "0", 2)
    if row is None and not _NUMBER.fullmatch(name or "0"):
        raise BadParameterError(f"unable to find user {name}: no matching entries in passwd file")
    uid = int(row[2]) if row else _number(name or "0")
    gid = int(row[3]) if row else 0
    extra = tuple(_group(layers, str(one)) for one in groups)
    if group:
        gid = _group(layers, group)
    elif row:
        extra += _memberships(layers, row[0])
    return User(uid=uid, gid=gid, umask=umask, additional_gids=tuple(dict.fromkeys((gid, *extra))))


def find_home_once(text: str, layers: tuple[str, ...]) -> str:
    """Return find_home(), cached where the topmost, writable layer has no /etc."""
    if layers and not os.path.isdir(f"{layers[-1]}/etc"):  # noqa: PTH112 - on the start path
        return _home_in_layers(text, layers[:-1])
    return find_home(text, layers)


def find_home(text: str, layers: tuple[str, ...]) -> str:
    """Return the home directory of the user in `text` (as resolve_user takes it), `/` when it has none."""
    row = _find(layers, "passwd", text.partition(":")[0] or "0", 2)
    return (row[5] if row and len(row) > 5 else "") or "/"


_home_in_layers = functools.lru_cache(maxsize=64)(find_home)


def _group(layers: tuple[str, ...], name: str) -> int:
    row = _find(layers, "group", name, 2)
    if row is None and not _NUMBER.fullmatch(name):
        raise BadParameterError(f"unable to find group {name}: no matching entries in group file")
    return int(row[2]) if row else _number(name)


def _number(text: str) -> int:
    number = int(text)
    if not 0 <= number <= _MOST:
        raise BadParameterError(f"uids and gids must be in range 0-{_MOST}")
    return number


def _memberships(layers: tuple[str, ...], user: str) -> tuple[int, ...]:
    rows = _rows(layers, "group")
    return tuple(int(row[2]) for row in rows if len(row) > 3 and user in row[3].split(","))


def _find(layers: tuple[str, ...], file: str, key: str, number: int) -> list[str] | None:
    """Return a row by name, or by number where there is no such name."""
    rows = list(_rows(layers, file))
    by_name = next((row for row in rows if row[0] == key), None)
    return by_name or next((row for row in rows if row[number] == key), None)


def _rows(layers: tuple[str, ...], file: str) -> Iterator[list[str]]:
    """Rows of /etc/`file` from the topmost layer that has one; no symlink is followed, it could lead out."""
    for layer in reversed(layers):
        path = Path(layer, "etc", file)
        if path.is_file() and not path.is_symlink() and not path.parent.is_symlink():
            for line in path.read_text("utf-8", "replace").splitlines():
                row = line.split(":")
                if len(row) > 2 and row[2].isdecimal():
                    yield row
            return
