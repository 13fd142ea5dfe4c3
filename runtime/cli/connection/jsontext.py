"""JSON without the json module, whose import (of re) takes longer than a container's start."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


def dumps(value: "Any") -> str:
    """Encode None, bool, int, float, str, list, tuple and dict with str keys, on one line."""
    if isinstance(value, str):
        return _quoted(value)
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{" + ",".join([f"{_quoted(key)}:{dumps(one)}" for key, one in value.items()]) + "}"
    if isinstance(value, list | tuple):
        return "[" + ",".join([dumps(one) for one in value]) + "]"
    return repr(value)


def _quoted(text: str) -> str:
    """Quote a text. Most need no escapes, and then no library either."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    import _json

    return _json.encode_basestring_ascii(text)


def pretty(value: "Any", before: str = "\n") -> str:
    """Encode with an indentation of four, as docker shows documents. before: line break and indentation."""
    inner = before + "    "
    if isinstance(value, dict) and value:
        lines = [f"{pretty(key)}: {pretty(one, inner)}" for key, one in value.items()]
        return "{" + inner + f",{inner}".join(lines) + before + "}"
    if isinstance(value, list | tuple) and value:
        return "[" + inner + f",{inner}".join([pretty(one, inner) for one in value]) + before + "]"
    if isinstance(value, str):
        import _json

        return _json.encode_basestring(value)
    return dumps(value)


class _Context:
    """The attributes that the C scanner reads, named as json.JSONDecoder has them."""

    strict = False
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float  # NaN and Infinity, which daemons do not send
    memo: "dict[str, str]" = {}  # noqa: RUF012


def loads(text: "str | bytes") -> "Any":
    """Decode one document. ValueError when it is not JSON."""
    import _json

    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    text = text.strip(" \t\r\n")
    try:
        value, end = _json.make_scanner(_Context)(text, 0)  # type: ignore[arg-type]
    except StopIteration as error:
        raise ValueError(f"not JSON at character {error.value}") from None
    if end != len(text):
        raise ValueError(f"more than one document: character {end}")
    return value
