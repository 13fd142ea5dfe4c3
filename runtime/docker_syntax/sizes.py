"""Sizes as in go-units: `512m`, `1.5GiB`, `10 kB`, `4096`; units are case-insensitive."""

from runtime.docker_syntax import MalformedError

BINARY, DECIMAL = 1024, 1000
"""The value of `k`: 1024 for memory and disks, 1000 for log files."""
_POWERS = ("b", "k", "m", "g", "t", "p")


def parse(text: str, base: int = BINARY) -> int:
    """Return bytes, from 0 to below 2^63. Raises MalformedError in docker's words."""
    number, space, unit = text.partition(" ")
    if not space:
        number = text.rstrip("".join(set(text) - set("0123456789.")))
        unit = text[len(number) :]
    unit = unit.lower()
    power = unit[:1] or "b"
    plain = set(number) <= set("0123456789.eE+-")  # float() accepts more forms
    try:
        value = float(number if plain else "") * base ** _POWERS.index(power)
    except (ValueError, OverflowError):
        value = -1.0
    if not 0 <= value < 1 << 63 or unit[1:] not in (("",) if power == "b" else ("", "b", "ib")):
        raise MalformedError(f"invalid size: '{text}'")
    return int(value)
