"""`.dockerignore`: which files of a context are left out. Pure functions, by docker's rules.

The last pattern that fits decides; `!` takes back; `**` crosses directories; a directory that is left out
takes its content with it, except for what a later `!` names.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

import msgspec

from runtime.engine.service.build.errors import DockerfileError


class Pattern(msgspec.Struct, frozen=True):
    """One line of the file. negated: it begins with `!`."""

    text: str
    negated: bool
    regex: str


def parse_ignore(text: str) -> tuple[Pattern, ...]:
    """Read the file's text. Raises DockerfileError for a pattern that makes no sense."""
    found = []
    for number, raw in enumerate(text.removeprefix("\ufeff").splitlines()):
        line = raw.strip() if not raw.startswith("#") else ""
        if not line:
            continue
        negated = line.startswith("!")
        line = line[1:].strip() if negated else line
        if not line:
            raise DockerfileError(f'illegal exclusion pattern: "!" on line {number + 1} of .dockerignore')
        line = posixpath.normpath(line).lstrip("/")
        if line == ".":  # docker takes it for nothing at all
            continue
        found.append(Pattern(line, negated, pattern_regex(line)))
    return tuple(found)


def is_ignored(path: str, patterns: Sequence[Pattern]) -> bool:
    """Say whether `path` (relative to the context) is left out."""
    ignored = False
    parts = path.split("/")
    prefixes = ["/".join(parts[: end + 1]) for end in range(len(parts))]
    for pattern in patterns:
        if pattern.negated == ignored and any(
            re.fullmatch(pattern.regex, one, re.DOTALL) for one in prefixes
        ):
            ignored = not pattern.negated
    return ignored


def pattern_regex(pattern: str) -> str:
    """Turn a pattern into a regular expression; `*` and `?` do not cross a `/`. Raises DockerfileError."""
    regex, place = "", 0
    while place < len(pattern):
        char = pattern[place]
        if pattern.startswith("**", place):
            place += 2
            if pattern.startswith("/", place):
                place += 1
            regex += ".*" if place == len(pattern) else "(?:.*/)?"
            continue
        place += 1
        if char == "*":
            regex += "[^/]*"
        elif char == "?":
            regex += "[^/]"
        elif char == "[":
            piece, place = _class(pattern, place)
            regex += piece
        elif char == "\\" and place < len(pattern):
            regex += re.escape(pattern[place])
            place += 1
        else:
            regex += re.escape(char)
    return regex


def has_wildcard(pattern: str) -> bool:
    """Say whether a source of COPY or ADD is a pattern."""
    return any(char in pattern for char in "*?[")


def _class(pattern: str, place: int) -> tuple[str, int]:
    """`[a-z]`, `[^a]`: never a `/`."""
    end = pattern.find("]", place + 1)
    if end < 0:
        raise DockerfileError(f"syntax error in pattern: {pattern}")
    inside = pattern[place:end]
    negated = inside[:1] in ("^", "!")
    body = inside[1:] if negated else inside
    body = body.replace("\\", "\\\\").replace("[", "\\[").replace("^", "\\^").replace("&&", "&\\&")
    regex = f"(?!/)[{'^' if negated else ''}{body}]"
    try:
        re.compile(regex)
    except re.error as error:
        raise DockerfileError(f"syntax error in pattern: {pattern}") from error
    return regex, end + 1
