"""Describe invalid JSON as Go's decoder does, whose messages Docker's users know."""

from __future__ import annotations

import re

_AT = re.compile(r"^JSON is malformed: (.*) \(byte (\d+)\)$")
_TRAILING = "trailing characters"
_SPACES = b" \t\r\n"
_EXPECTED = {
    "object keys must be strings": "looking for beginning of object key string",
    "trailing comma in object": "looking for beginning of object key string",
    "trailing comma in array": "looking for beginning of value",
    "expected ':'": "after object key",
    "expected ',' or '}'": "after object key:value pair",
    "expected ',' or ']'": "after array element",
}
"""msgspec's message about a byte → Go's message."""


def is_only_trailing(error: Exception) -> bool:
    """Return whether the document was complete and only followed by something else."""
    found = _AT.match(str(error))
    return found is not None and found[1] == _TRAILING


def wording(error: Exception, data: bytes) -> str:
    """Return Go's message for an error that decoding `data` raised; an error without one keeps its own."""
    text = str(error)
    if text == "Input data was truncated":
        return "unexpected EOF"
    found = _AT.match(text)
    if found is None:
        return text
    at = int(found[2])
    expected = _expected_value(data, at) if found[1] == "invalid character" else _EXPECTED.get(found[1])
    if expected is None or at >= len(data):
        return text
    return f"invalid character {_quoted(chr(data[at]))} {expected}"


def _expected_value(data: bytes, at: int) -> str | None:
    """Split msgspec's one message into bad first byte, raw control character and misspelt word."""
    if data[at : at + 1] < b" ":
        return "in string literal"
    before = data[:at].rstrip(_SPACES)[-1:]
    return "looking for beginning of value" if before in (b"", b":", b",", b"[") else None


def _quoted(character: str) -> str:
    return r"'\''" if character == "'" else repr(character)
