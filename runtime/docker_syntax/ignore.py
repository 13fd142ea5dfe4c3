"""`.dockerignore` as moby/patternmatcher reads it, odd cases included, so that the same files are left out.

The last matching pattern decides; `!` re-includes; `**` matches any directories; a match of a directory also
matches everything below it. Unlike there, a backslash before a letter always means the letter (`\\d` is `d`).
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

from runtime.docker_syntax import MalformedError, globs

Fits = tuple[bool, ...]
"""For each pattern, whether it matches a path or a directory above it."""


class Pattern(NamedTuple):
    """One pattern. text: without its `!`."""

    text: str
    negated: bool
    fits: Callable[[str], bool]


def read(text: str) -> list[str]:
    """Return a file's patterns. A `#` starts a comment only as the first letter of a line."""
    found = []
    for line in text.removeprefix("\ufeff").split("\n"):
        pattern = line.strip()
        if not pattern or line.startswith("#"):
            continue
        sign = "!" if pattern.startswith("!") else ""
        pattern = pattern.removeprefix("!").strip()
        cleaned = _clean(pattern) if pattern else ""
        found.append(sign + (cleaned.removeprefix("/") or cleaned))
    return found


class Ignored:
    """Decides which relative paths are left out. Raises MalformedError for invalid patterns."""

    def __init__(self, patterns: Iterable[str]) -> None:
        self._patterns = tuple(_parse(pattern) for pattern in patterns if pattern.strip())

    def __call__(self, path: str) -> bool:
        """Say whether a path is left out."""
        return self.judge(path)[0]

    def judge(self, path: str, above: Fits | None = None) -> tuple[bool, Fits]:
        """Say whether a path is left out, and which patterns match. above: the matches of its directory.

        A pattern is tried only where it could change the answer; one that did not count for a directory does
        not count below it either (`d/x`, `!d`: d/x is left out).
        """
        ignored, found = False, []
        places = (path, *_parents(path)) if above is None else (path,)
        for number, pattern in enumerate(self._patterns):
            fits = above is not None and above[number]
            if not fits and pattern.negated == ignored:
                fits = any(pattern.fits(place) for place in places)
            found.append(fits)
            if fits:
                ignored = not pattern.negated
        return ignored, tuple(found)

    def may_hold(self, directory: str) -> bool:
        """Say whether a directory that is left out must be searched, since a `!` names a path below it."""
        return any(
            pattern.negated and f"{pattern.text}/".startswith(f"{directory}/") for pattern in self._patterns
        )


def _parents(path: str) -> Iterable[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _parse(text: str) -> Pattern:
    cleaned = _clean(text.strip())
    if cleaned == "!":
        raise MalformedError('illegal exclusion pattern: "!"')
    bare = cleaned.removeprefix("!")
    globs.expression(bare)  # only to check that it is well-formed
    return Pattern(bare, bare != cleaned, _matcher(bare))


def _clean(path: str) -> str:
    """Clean a path as Go's filepath.Clean does; normpath() keeps two leading slashes."""
    return re.sub("^//+", "/", posixpath.normpath(path))


def _matcher(pattern: str) -> Callable[[str], bool]:
    """Return a function that says whether a path matches."""
    kind, regex = _translate(pattern)
    if kind == "exact":
        return pattern.__eq__
    if kind == "prefix":
        return lambda path: path.startswith(pattern[:-2])
    if kind == "suffix":
        return lambda path: path.endswith(pattern[2:]) or f"/{path}" == pattern[2:]
    try:
        compiled = re.compile(_for_python(regex))
    except re.error:
        raise MalformedError(f"syntax error in pattern: {pattern}") from None
    return lambda path: compiled.fullmatch(path) is not None


def _translate(pattern: str) -> tuple[str, str]:
    """Return how to match a pattern, and its regular expression."""
    kind, out, at = "exact", [], 0
    while at < len(pattern):
        start, letter = at, pattern[at]
        at += 1
        if letter == "*" and pattern.startswith("*", at):
            at += 2 if pattern.startswith("/", at + 1) else 1
            ends = at == len(pattern)
            out.append(".*" if ends else "(?:.*/)?")
            kind = "suffix" if not start else "prefix" if ends and kind == "exact" else "regex"
            continue
        if letter in "*?[]\\":
            kind = "regex"
        if letter == "\\":
            out.append(re.escape(pattern[at]))
            at += 1
        elif letter in ".+()|{}$":
            out.append("\\" + letter)
        else:
            out.append({"*": "[^/]*", "?": "[^/]"}.get(letter, letter))
    return kind, "".join(out)


def _for_python(regex: str) -> str:
    """Escape, within classes, characters that are special in Python but not in Go."""
    out, at, inside = [], 0, False
    while at < len(regex):
        letter, size = regex[at], 2 if regex[at] == "\\" else 1
        if inside and letter in "[&~":
            out.append("\\")
        elif inside:
            inside = letter != "]"
        elif letter == "[":
            inside = True
            size += regex.startswith("^", at + size)
            size += regex.startswith("]", at + size)
        out.append(regex[at : at + size])
        at += size
    return "".join(out)
