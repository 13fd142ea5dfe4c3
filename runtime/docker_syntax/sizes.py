"""Sizes as go-units reads them: `512m`, `1.5GiB`, `10 kB`, `4096`; a unit's case does not matter."""

from runtime.docker_syntax import MalformedError

BINARY, DECIMAL = 1024, 1000
"""What `k` stands for: 1024 in memory and disks, 1000 in log files."""
_POWERS = ("b", "k", "m", "g", "t", "p")


def parse(text: str, base: int = BINARY) -> int:
    """Return bytes, 0 or more and below 2^63. Raises MalformedError in docker's words."""
    number, space, unit = text.partition(" ")
    if not space:
        number = text.rstrip("".join(set(text) - set("0123456789.")))
        unit = text[len(number) :]
    unit = unit.lower()
    power = unit[:1] or "b"
    plain = set(number) <= set("0123456789.eE+-")  # float() knows more forms than a size has
    try:
        value = float(number if plain else "") * base ** _POWERS.index(power)
    except (ValueError, OverflowError):
        value = -1.0
    if not 0 <= value < 1 << 63 or unit[1:] not in (("",) if power == "b" else ("", "b", "ib")):
        raise MalformedError(f"invalid size: '{text}'")
    return int(value)
