"""Parse `WWW-Authenticate`, a registry's challenge. Pure functions."""

from __future__ import annotations

import re
from typing import NamedTuple

_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_PARAMETER = re.compile(rf'({_WORD})[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^\s",]+))')
_SCHEME = re.compile(_WORD)
_BETWEEN = re.compile(r"[\s,]*")
_LONGEST = 8192


class Challenge(NamedTuple):
    """One scheme that is offered, `bearer` or `basic`, and its parameters (realm, service, scope)."""

    scheme: str
    parameters: dict[str, str]


def parse_challenges(text: str) -> list[Challenge]:
    """Parse the header; several of them are joined by commas. Malformed text ends the list."""
    found: list[Challenge] = []
    at = 0
    text = text[:_LONGEST]
    while True:
        between = _BETWEEN.match(text, at)
        at = between.end() if between else at
        parameter = _PARAMETER.match(text, at)
        if parameter and found:
            quoted = parameter[2]
            value = re.sub(r"\\(.)", r"\1", quoted) if quoted is not None else parameter[3]
            found[-1].parameters.setdefault(parameter[1].lower(), value)
            at = parameter.end()
            continue
        scheme = _SCHEME.match(text, at)
        if not scheme:
            return found
        found.append(Challenge(scheme[0].lower(), {}))
        at = scheme.end()


def choose(challenges: list[Challenge]) -> Challenge | None:
    """Choose tokens over passwords; None when neither is offered."""
    for scheme in ("bearer", "basic"):
        for challenge in challenges:
            if challenge.scheme == scheme:
                return challenge
    return None
