"""The functions of templates: Go's own and docker's. Values are those of JSON, and rows' methods."""

from __future__ import annotations

import re

from runtime.cli.connection import jsontext

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any


class Nil:
    """An absent value whose Go type is known: shown as that type's zero value, null in JSON."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __bool__(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return other is None or other is self

    def __hash__(self) -> int:
        return hash(self.text)

    def __str__(self) -> str:
        return self.text


class Empty(dict):  # type: ignore[type-arg]
    """Go's `struct{}`, an element of a set."""

    def __str__(self) -> str:
        return "{}"


def shown(value: Any) -> str:
    """Return a value as Go prints it."""
    return "<no value>" if value is None else _plain(value)


def _plain(value: Any) -> str:
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict) and not isinstance(value, Empty):
        return "map[" + " ".join(f"{key}:{_plain(one)}" for key, one in sorted(value.items())) + "]"
    if isinstance(value, list | tuple):
        return "[" + " ".join(_plain(one) for one in value) + "]"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e21:
        return str(int(value))
    return str(value)


def true(value: Any) -> bool:
    """Return whether `if` takes a value for true."""
    return bool(value)


def as_json(value: Any) -> str:
    """Return a value as JSON on one line, without rows' methods."""
    if isinstance(value, Nil):
        return "null"
    import json

    return json.dumps(_without_methods(value), separators=(",", ":"), ensure_ascii=False)


def _without_methods(value: Any) -> Any:
    """Return a document without methods, which its rows may have."""
    if isinstance(value, list):
        return [_without_methods(one) for one in value]
    if not isinstance(value, dict):
        return value
    items = sorted(value.items()) if any(callable(one) for one in value.values()) else value.items()
    return {key: _without_methods(one) for key, one in items if not callable(one)}


def index(value: Any, *keys: Any) -> Any:
    """Return an element; a missing one of a map of texts is empty."""
    for key in keys:
        if isinstance(value, dict):
            texts = all(isinstance(one, str) for one in value.values())
            value = value.get(key, "" if texts else None)
        elif value is None:
            return None
        elif isinstance(value, Nil):
            return ""
        else:
            value = value[int(key)]
    return value


def printf(form: str, *values: Any) -> str:
    """Return a text with %s, %d, %v, %q, %t, %x, %f, each with width and precision."""
    left = list(values)

    def one(found: re.Match[str]) -> str:
        if found[2] == "%":
            return "%"
        if not left:
            return f"%!{found[2]}(MISSING)"
        value = left.pop(0)
        if found[2] in "dxf":
            return f"%{found[1]}{found[2]}" % (float(value) if found[2] == "f" else int(value))
        text = quoted(str(value)) if found[2] == "q" else shown(value)
        return f"%{found[1]}s" % text

    return re.sub(r"%([-+ #0]*\d*(?:\.\d+)?)([svqtdxf%])", one, form)


def quoted(text: str) -> str:
    """Return a text in double quotes, with Go's escapes."""
    return jsontext.pretty(text)


def _sliced(value: Any, *places: int) -> Any:
    return value[slice(*places)] if len(places) > 1 else value[places[0] if places else 0 :]


def _compare(test: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    return lambda one, other: test(one, other)


def _and(*values: Any) -> Any:
    return next((one for one in values if not true(one)), values[-1])


def _or(*values: Any) -> Any:
    return next((one for one in values if true(one)), values[-1])


def _println(*values: Any) -> str:
    return " ".join(shown(one) for one in values) + "\n"


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "and": _and,
    "or": _or,
    "not": lambda value: not true(value),
    "eq": lambda one, *others: any(one == other for other in others),
    "ne": _compare(lambda one, other: one != other),
    "lt": _compare(lambda one, other: one < other),
    "le": _compare(lambda one, other: one <= other),
    "gt": _compare(lambda one, other: one > other),
    "ge": _compare(lambda one, other: one >= other),
    "index": index,
    "slice": _sliced,
    "len": lambda value: len(value or ()),
    "print": lambda *values: "".join(shown(one) for one in values),
    "println": _println,
    "printf": printf,
    "json": as_json,
    "join": lambda values, between: between.join(str(one) for one in values or ()),
    "split": lambda text, between: text.split(between),
    "lower": lambda text: text.lower(),
    "upper": lambda text: text.upper(),
    "title": lambda text: text.title(),
    "pad": lambda text, before, after: " " * before + text + " " * after if text else text,
    "truncate": lambda text, most: text[:most],
    "call": lambda function, *values: function(*values),
}
"""What a template may call."""
