"""From a registry's answer that is no success to an error of ours, in the words that Docker uses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from runtime.image.registry.registry_errors import (
    BusyRegistryError,
    RegistryAuthError,
    RegistryError,
    RegistryNotFoundError,
    shown,
)

if TYPE_CHECKING:
    from runtime.image.registry.http import HttpResponse

_LONGEST = 64 << 10
_MOST_SHOWN = 300
_WORDS = {
    401: "unauthorized: authentication required",
    403: "denied: requested access to the resource is denied",
    404: "not found",
    429: "toomanyrequests: too many requests; wait, or log in",
}
_OTHERS = ("error_description", "message", "error")
"""Where servers say why that do not keep to the registry's form of an error."""


def error_from(answer: HttpResponse) -> RegistryError:
    """Read what the registry says, and make an error of it."""
    status = answer.status
    try:
        data = answer.document(_LONGEST, "the registry's error message")
    except RegistryError:
        data = b""
    told = coded(data)
    text = told or _worded(status, data)
    if status in (401, 403):
        return RegistryAuthError(text)
    if status == 404:
        return RegistryNotFoundError(text)
    kind = BusyRegistryError if status == 429 or status >= 500 else RegistryError
    if told and status == 429:  # says all there is to know, and clients know it by its beginning
        return kind(told)
    return kind(f'{answer.method.capitalize()} "{shown(answer.url)}": {text}')


def coded(data: bytes) -> str:
    """Take the messages out of an error answer: `manifest unknown: …`, "" where it is none."""
    errors = _fields(_document(data)).get("errors")
    texts = [_one(error) for error in errors[:3]] if isinstance(errors, list) else []
    return clean("; ".join(text for text in texts if text))


def _worded(status: int, data: bytes) -> str:
    """Say what a status means, and what stands in an answer that has not the form of an error."""
    usual = _WORDS.get(status)
    fields = _fields(_document(data))
    if details := _text(fields, "details"):
        return f"{usual.partition(':')[0]}: {details}" if usual and ":" in usual else details
    said = next((text for name in _OTHERS if (text := _text(fields, name))), "")
    if said:
        return f"{usual} ({said})" if usual else said
    usual = usual or f"unexpected status {status}; look into the registry's log"
    text = clean(data.decode("utf-8", "replace"))
    if not text or _document(data) is not None:
        return usual
    return f'{usual}; error parsing HTTP {status} response body: no JSON: "{text}"'


def _document(data: bytes) -> Any:
    """The JSON in an answer, None where it is none."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def _fields(document: object) -> dict[str, Any]:
    """An object's fields by their names in lower case: servers write `Code` too."""
    return {name.lower(): value for name, value in document.items()} if isinstance(document, dict) else {}


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return clean(value) if isinstance(value, str) else ""


def _one(error: object) -> str:
    fields = _fields(error)
    code, message = str(fields.get("code") or ""), str(fields.get("message") or "")
    code = code.lower().replace("_", " ")
    return ": ".join(part for part in (code, message) if part)


def clean(text: str) -> str:
    """Make foreign text fit for a terminal: one line, no control characters, not long."""
    plain = "".join(character if character.isprintable() else " " for character in text[: 4 * _MOST_SHOWN])
    plain = " ".join(plain.split())
    return plain if len(plain) <= _MOST_SHOWN else plain[:_MOST_SHOWN] + "…"
