"""Turn a registry's error response into an error in Docker's words."""

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
"""Where servers that do not follow the registry's error format put the reason."""


def error_from(answer: HttpResponse) -> RegistryError:
    """Read an error response and return it as an error."""
    status = answer.status
    try:
        data = answer.document(_LONGEST, "the registry's error message")
    except RegistryError:
        data = b""
    errors = coded(data)
    text = errors or _describe(status, data)
    if status in (401, 403):
        return RegistryAuthError(text)
    if status == 404:
        return RegistryNotFoundError(text)
    kind = BusyRegistryError if status == 429 or status >= 500 else RegistryError
    if errors and status == 429:  # complete in itself, and clients recognize its beginning
        return kind(errors)
    return kind(f'{answer.method.capitalize()} "{shown(answer.url)}": {text}')


def coded(data: bytes) -> str:
    """Return the messages of an error response, `manifest unknown: …`; "" if it is not one."""
    errors = _fields(_document(data)).get("errors")
    texts = [_message(error) for error in errors[:3]] if isinstance(errors, list) else []
    return clean("; ".join(text for text in texts if text))


def _describe(status: int, data: bytes) -> str:
    """Describe a status and the content of a response that does not follow the error format."""
    usual = _WORDS.get(status)
    fields = _fields(_document(data))
    if details := _text(fields, "details"):
        return f"{usual.partition(':')[0]}: {details}" if usual and ":" in usual else details
    said = next((text for name in _OTHERS if (text := _text(fields, name))), "")
    if said:
        return f"{usual} ({said})" if usual else said
    usual = usual or f"unexpected status {status}; see the registry's log"
    text = clean(data.decode("utf-8", "replace"))
    if not text or _document(data) is not None:
        return usual
    return f'{usual}; error parsing HTTP {status} response body: not JSON: "{text}"'


def _document(data: bytes) -> Any:
    """Return a response's JSON, None if it is not JSON."""
    try:
        return msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def _fields(document: object) -> dict[str, Any]:
    """Return an object's fields with names in lower case: some servers write `Code`."""
    return {name.lower(): value for name, value in document.items()} if isinstance(document, dict) else {}


def _text(fields: dict[str, Any], name: str) -> str:
    value = fields.get(name)
    return clean(value) if isinstance(value, str) else ""


def _message(error: object) -> str:
    fields = _fields(error)
    code, message = str(fields.get("code") or ""), str(fields.get("message") or "")
    code = code.lower().replace("_", " ")
    return ": ".join(part for part in (code, message) if part)


def clean(text: str) -> str:
    """Make foreign text safe for a terminal: one short line without control characters."""
    plain = "".join(character if character.isprintable() else " " for character in text[: 4 * _MOST_SHOWN])
    plain = " ".join(plain.split())
    return plain if len(plain) <= _MOST_SHOWN else plain[:_MOST_SHOWN] + "…"
