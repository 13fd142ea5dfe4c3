"""From a registry's answer that is no success to an error of ours, in the words that Docker uses."""

from __future__ import annotations

import msgspec

from runtime.image.registry.causes import shown
from runtime.image.registry.errors import (
    BusyRegistryError,
    RegistryAuthError,
    RegistryError,
    RegistryNotFoundError,
)
from runtime.image.registry.wire import Answer

_LONGEST = 64 << 10
_MOST_SHOWN = 300
_WORDS = {
    401: "unauthorized: authentication required",
    403: "denied: requested access to the resource is denied",
    404: "not found",
    429: "toomanyrequests: too many requests; wait, or log in",
}


def refusal(answer: Answer) -> RegistryError:
    """Read what the registry says, and make an error of it."""
    try:
        text = server_text(answer.document(_LONGEST, "the registry's error message"))
    except RegistryError:
        text = ""
    status = answer.status
    text = text or _WORDS.get(status) or f"unexpected status {status}; look into the registry's log"
    if status in (401, 403):
        return RegistryAuthError(text)
    if status == 404:
        return RegistryNotFoundError(text)
    kind = BusyRegistryError if status == 429 or status >= 500 else RegistryError
    return kind(f'{answer.method.capitalize()} "{shown(answer.url)}": {text}')


def server_text(data: bytes) -> str:
    """Take the message out of an error answer: `manifest unknown: …`, "" where there is none."""
    try:
        document = msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return ""
    if not isinstance(document, dict):
        return ""
    errors = document.get("errors")
    texts = [_one(error) for error in errors[:3]] if isinstance(errors, list) else []
    others = [document.get(name) for name in ("error_description", "details", "message", "error")]
    found = [text for text in texts if text] or [text for text in others if text and isinstance(text, str)][
        :1
    ]
    return clean("; ".join(found))


def _one(error: object) -> str:
    if not isinstance(error, dict):
        return ""
    code, message = str(error.get("code") or ""), str(error.get("message") or "")
    code = code.lower().replace("_", " ")
    return ": ".join(part for part in (code, message) if part)


def clean(text: str) -> str:
    """Make foreign text fit for a terminal: one line, no control characters, not long."""
    plain = "".join(character if character.isprintable() else " " for character in text[: 4 * _MOST_SHOWN])
    plain = " ".join(plain.split())
    return plain if len(plain) <= _MOST_SHOWN else plain[:_MOST_SHOWN] + "…"
