"""Words for true and false, which differ between flags and options (Go's), filters, and API queries."""

from runtime.docker_syntax import MalformedError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_WORDS = {
    **dict.fromkeys(("1", "t", "T", "true", "TRUE", "True"), True),
    **dict.fromkeys(("0", "f", "F", "false", "FALSE", "False"), False),
}
_OF_FILTERS = ("1", "true", "0", "false")
_QUERY_FALSE = frozenset({"", "0", "no", "false", "none"})


def parse(text: str) -> bool:
    """Parse a flag, log option or driver option. Raises MalformedError in Go's words."""
    if text not in _WORDS:
        raise MalformedError(f'strconv.ParseBool: parsing "{text}": invalid syntax')
    return _WORDS[text]


def of_filter(name: str, values: "Iterable[str]") -> bool:
    """Parse all values of a filter (`dangling=true`), which allows fewer words. Raises MalformedError."""
    given = tuple(values)
    found = {_WORDS[word] if word in _OF_FILTERS else None for word in given}
    if found not in ({True}, {False}):
        raise MalformedError(f"invalid filter '{name}=[{' '.join(given)}]'")
    return True in found


def of_query(text: str) -> bool:
    """Parse a query parameter of the API: everything is true except a few words."""
    return text.strip().lower() not in _QUERY_FALSE
