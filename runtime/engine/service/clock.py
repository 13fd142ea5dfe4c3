"""Wall clock times as Docker writes them: RFC 3339 in UTC with nanoseconds."""

from __future__ import annotations

import datetime
import re
import time

_FORM = re.compile(
    r"(\d{4}-\d\d-\d\d)(?:[Tt ](\d\d:\d\d(?::\d\d)?)(?:[.,](\d{1,9})\d*)?)?\s*([Zz]|[+-]\d\d:?\d\d)?"
)


def text_of(time_ns: int) -> str:
    """Return a time in ns since 1970 as `2026-01-31T12:00:00.123456789Z`."""
    seconds, rest = divmod(time_ns, 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:09d}Z"


def now() -> str:
    """Return the time as text."""
    return text_of(time.time_ns())


def ns_of(text: str) -> int:
    """Return ns since 1970 of an RFC 3339 time; date alone, no seconds and no zone (UTC) will do.

    Raises ValueError.
    """
    found = _FORM.fullmatch(text)
    if not found:
        raise ValueError(f"time {text!r} is not of the form 2026-01-31T12:00:00Z")
    day, clock, fraction, zone = found.groups()
    clock = clock or "00:00:00"
    zone = "+00:00" if zone in (None, "Z", "z") else zone
    moment = datetime.datetime.fromisoformat(f"{day}T{clock}{zone}")
    return round(moment.timestamp()) * 1_000_000_000 + int((fraction or "").ljust(9, "0"))


def go_text(duration_ns: int) -> str:
    """Return a duration as Go writes it: `50ms`, `1.5s`, `1m30s`."""
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


def duration_ns(text: str) -> int:
    """Return the ns of a duration as Go writes it (`1h30m`, `1.5s`, `10ms`). Raises ValueError."""
    units = {"ns": 1, "us": 10**3, "µs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}
    parts = re.findall(r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|ms|s|m|h)", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"duration {text!r} is not of the form 1h30m")
    return round(sum(float(number) * units[unit] for number, unit in parts))


def moment_ns(text: str, now_ns: int | None = None) -> int:
    """Return ns since 1970 of what clients send for a time: Unix seconds, RFC 3339, or a duration ago.

    Raises ValueError.
    """
    if re.fullmatch(r"-?\d+(\.\d*)?", text):
        whole, _, fraction = text.partition(".")
        return int(whole) * 1_000_000_000 + int(fraction[:9].ljust(9, "0"))
    try:
        return (time.time_ns() if now_ns is None else now_ns) - duration_ns(text)
    except ValueError:
        return ns_of(text)
