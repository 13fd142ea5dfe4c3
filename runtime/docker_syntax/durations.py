"""Durations as Go writes them (`1m30s`, `500ms`), and in the words of `docker ps` (`2 minutes`)."""

from runtime.docker_syntax import MalformedError

_UNITS = {
    "ns": 1,
    "us": 10**3,
    "µs": 10**3,
    "μs": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
}
_LONG = ((24 * 7 * 2, 24, "days"), (24 * 30 * 2, 24 * 7, "weeks"), (24 * 365 * 2, 24 * 30, "months"))
"""(below so many hours, hours per unit, unit)."""


def parse(text: str) -> int:
    """Return ns, possibly negative. Raises MalformedError in the words of Go's time.ParseDuration."""
    rest = text[1:] if text[:1] in ("+", "-") else text
    if rest == "0":
        return 0
    total = 0
    while True:
        number, rest = _split(rest, "0123456789.")
        whole, _, fraction = number.partition(".")
        if not whole + fraction or "." in fraction:
            raise MalformedError(f'time: invalid duration "{text}"')
        end = next((place for place, letter in enumerate(rest) if letter in "0123456789."), len(rest))
        unit, rest = rest[:end], rest[end:]
        if unit not in _UNITS:
            what = f'unknown unit "{unit}"' if unit else "missing unit"
            raise MalformedError(f'time: {what} in duration "{text}"')
        scale: int = 10 ** len(fraction)
        total += int(whole + fraction) * _UNITS[unit] // scale
        if not rest:
            break
    if total >= 1 << 63:
        raise MalformedError(f'time: invalid duration "{text}"')
    return -total if text.startswith("-") else total


def _split(text: str, letters: str) -> tuple[str, str]:
    rest = text.lstrip(letters)
    return text[: len(text) - len(rest)], rest


def text_of(duration_ns: int) -> str:
    """Return a duration as Go writes it: `50ms`, `1.5s`, `1m30s`."""
    if duration_ns < 0:
        return f"-{text_of(-duration_ns)}"
    for unit_ns, unit in ((1, "ns"), (1_000, "µs"), (1_000_000, "ms")):
        if 0 < duration_ns < unit_ns * 1000:
            return f"{_decimal(duration_ns, unit_ns)}{unit}"
    minutes, rest_ns = divmod(duration_ns, 60_000_000_000)
    hours, minutes = divmod(minutes, 60)
    large = f"{hours}h{minutes}m" if hours else f"{minutes}m" if minutes else ""
    return f"{large}{_decimal(rest_ns, 1_000_000_000)}s"


def _decimal(value: int, unit: int) -> str:
    whole, rest = divmod(value, unit)
    fraction = str(rest).rjust(len(str(unit)) - 1, "0").rstrip("0") if rest else ""
    return f"{whole}.{fraction}" if fraction else str(whole)


def words(duration_ns: int) -> str:
    """Return a duration in words, rounded as go-units rounds."""
    seconds = duration_ns // 1_000_000_000
    minutes, hours = seconds // 60, (seconds + 1800) // 3600
    if seconds < 1:
        return "Less than a second"
    if seconds < 60:
        return "1 second" if seconds == 1 else f"{seconds} seconds"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for below, unit, word in _LONG:
        if hours < below:
            return f"{hours // unit} {word}"
    return f"{seconds // 3600 // 24 // 365} years"
