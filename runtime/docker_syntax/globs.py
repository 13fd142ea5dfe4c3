"""Shell patterns as Go's filepath.Match reads them: `*`, `?`, `[a-z]`, `[^a]`, a backslash before any letter.

https://pkg.go.dev/path/filepath#Match
"""

from __future__ import annotations

import re

from runtime.docker_syntax import MalformedError


def is_pattern(text: str) -> bool:
    """Say whether a text is more than a name with escaped letters in it."""
    return any(letter in re.sub(r"(?s)\\.", "", text) for letter in "*?[")


def expression(pattern: str) -> str:
    """Return the regular expression to match a whole path with. Raises MalformedError in Go's words.

    `*` and `?` do not cross a `/`, a class may.
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
    """Read what stands behind a `[`; return it as an expression, and the place after its `]`."""
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
    if not inside:  # each range goes downwards, and so fits nothing
        return "." if negated else "(?!)", at + 1
    return f"[{'^' if negated else ''}{inside}]", at + 1


def _bound(pattern: str, at: int) -> tuple[str, int]:
    """Read one end of a range, after which more must stand."""
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
