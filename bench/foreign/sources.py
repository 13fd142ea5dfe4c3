"""Read the arguments FILE, NAME=FILE, and - for standard input."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import msgspec

from bench.foreign.table import ForeignError, clean

STDIN = "-"
_MOST = 1 << 30
"""The most bytes read of one file: some 20 million rows."""


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A file to judge: its name for messages, the system given for it (or ""), its bytes."""

    name: str
    system: str
    data: bytes

    @property
    def stem(self) -> str:
        """The file's name without directory and suffix."""
        return "stdin" if self.name == "standard input" else Path(self.name).stem


def parse(typed: str) -> tuple[str, str]:
    """Split an argument into system and path; if it exists as typed, it is a path."""
    system, equals, path = typed.partition("=")
    return (system, path) if equals and system and path and not os.path.lexists(typed) else ("", typed)


def load(typed: list[str]) -> list[Source]:
    """Read every file. Raises ForeignError, which names the file that cannot be read."""
    pairs = [parse(one) for one in typed]
    seen: set[str] = set()
    for _, path in pairs:
        real = path if path == STDIN else os.path.realpath(path)
        if real in seen:
            raise ForeignError(f"{clean(path)}: given twice; a file counts once")
        seen.add(real)
    return [_source(system, path) for system, path in pairs]


def _source(system: str, path: str) -> Source:
    if path == STDIN:
        name, data = "standard input", sys.stdin.buffer.read(_MOST + 1)
    else:
        name, data = clean(path), _bytes(path)
    if len(data) > _MOST:
        raise ForeignError(f"{name}: larger than {_MOST >> 30} GiB; judge it in parts")
    if not data.strip():
        raise ForeignError(f"{name}: empty; give a file with samples")
    return Source(name=name, system=clean(system), data=data)


def _bytes(path: str) -> bytes:
    name = clean(path)
    try:
        kind = os.stat(path).st_mode  # noqa: PTH116  (Path.stat has nothing more to give)
        if stat.S_ISDIR(kind):
            raise ForeignError(f"{name}: a directory; judge a run by itself, or give its samples.parquet")
        if not (stat.S_ISREG(kind) or stat.S_ISFIFO(kind)):
            raise ForeignError(f"{name}: neither a file nor a pipe; give a file with samples")
        with Path(path).open("rb") as file:
            return file.read(_MOST + 1)
    except OSError as error:
        raise ForeignError(f"{name}: cannot be read: {error.strerror}; give a file with samples") from error
