"""Shell patterns of Go's filepath.Match: `*`, `?`, `[a-z]`, `[^a]`, and a backslash before any letter.

https://pkg.go.dev/path/filepath#Match
"""

from __future__ import annotations

import re

from runtime.docker_syntax import MalformedError


def is_pattern(text: str) -> bool:
    """Say whether a text has wildcards, and not only escaped letters."""
    return any(letter in re.sub(r"(?s)\\.", "", text) for letter in "*?[")


def expression(pattern: str) -> str:
    """Return a regular expression that matches a whole path. Raises MalformedError in Go's words.

    `*` and `?` do not match a `/`, a class may.
    """
    out, at = [], 0
    while at < len(pattern):
        letter = pattern[at]
        if letter == "[":
            piece, at = _class(pattern, at + 1)
            out.append(piece)
            continue
        if letter == "\\":
            letter, at = _letter(pattern, at)
            out.append(re.escape(letter))
            continue
        out.append({"*": "[^/]*", "?": "[^/]"}.get(letter) or re.escape(letter))
        at += 1
    return "(?s:" + "".join(out) + ")"


def _class(pattern: str, at: int) -> tuple[str, int]:
    """Parse a class after its `[`; return its expression, and the place after its `]`."""
    negated = pattern.startswith("^", at)
    at += negated
    ranges: list[tuple[str, str]] = []
    while not ranges or not pattern.startswith("]", at):
        low, at = _bound(pattern, at)
        high = low
        if pattern.startswith("-", at):
            high, at = _bound(pattern, at + 1)
        ranges.append((low, high))
    inside = "".join(f"{re.escape(low)}-{re.escape(high)}" for low, high in ranges if low <= high)
    if not inside:  # all ranges are reversed, so nothing matches
        return "." if negated else "(?!)", at + 1
    return f"[{'^' if negated else ''}{inside}]", at + 1


def _bound(pattern: str, at: int) -> tuple[str, int]:
    """Parse one end of a range, which must not end the pattern."""
    letter, after = _letter(pattern, at)
    if pattern[at] in "-]" or after == len(pattern):
        raise _malformed(pattern)
    return letter, after


def _letter(pattern: str, at: int) -> tuple[str, int]:
    at += pattern.startswith("\\", at)
    if at >= len(pattern):
        raise _malformed(pattern)
    return pattern[at], at + 1


def _malformed(pattern: str) -> MalformedError:
    return MalformedError(f"syntax error in pattern: {pattern}")
