"""Points in time: RFC 3339 with nanoseconds, and the other forms of `--since`, `--until` and filters."""

from __future__ import annotations

import datetime
import re
import time

from runtime.docker_syntax import MalformedError, durations

NEVER = "0001-01-01T00:00:00Z"
"""Go's zero time."""
_FORM = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d(?::\d\d(?::\d\d)?)?)(?:[.,](\d{1,9})\d*)?)?\s*([Zz]|[+-]\d\d:?\d\d)?",
    re.ASCII,
)


def text_of(time_ns: int) -> str:
    """Return a time in ns since 1970 as `2026-01-31T12:00:00.123456789Z`."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


def ns_of(text: str) -> int:
    """Return ns since 1970 of an RFC 3339 time. Raises MalformedError.

    The time may end after the date, hour or minute; as in docker, it is local without a zone.
    """
    found = _FORM.fullmatch(text)
    if not found:
        raise MalformedError(f"time {text!r} is not of the form 2026-01-31T12:00:00Z")
    day, clock, fraction, zone = found.groups()
    try:
        moment = datetime.datetime.fromisoformat(f"{day}T{clock or '00'}{zone or ''}".replace("z", "Z"))
        seconds = round(moment.timestamp())
    except (ValueError, OverflowError) as error:
        raise MalformedError(f"time {text!r}: {error}") from error
    return seconds * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


def moment_ns(text: str, now_ns: int | None = None) -> int:
    """Return ns since 1970 of Unix seconds, a duration before now, or a time. Raises MalformedError."""
    if re.fullmatch(r"-?\d{1,18}(\.\d*)?", text, re.ASCII):
        whole, _, fraction = text.partition(".")
        return int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))
    try:
        return (time.time_ns() if now_ns is None else now_ns) - durations.parse(text)
    except MalformedError:
        return ns_of(text)


def since(text: str, now_ns: int | None = None) -> str:
    """Return in words how long ago an RFC 3339 time was. Raises MalformedError."""
    return durations.words(max(0, (time.time_ns() if now_ns is None else now_ns) - ns_of(text)))
