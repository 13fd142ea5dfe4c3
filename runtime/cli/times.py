"""Moments: what --since and --until take, what the API answers, and how docker says how long ago that is."""

from __future__ import annotations

import time

from runtime.cli.errors import CliError, misuse
from runtime.cli.quantities import duration

_FORMS = ("%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H", "%Y-%m-%d", "%Y-%m-%d %H:%M:%S")


def moment(flag: str, text: str) -> str:
    """`10m` (ago), `1700000000.5`, `2026-01-31T10:00:00Z`, `2026-01-31` (here) → seconds since 1970."""
    plain = text.replace(".", "", 1)
    if plain.isdecimal() and plain.isascii():
        return text
    try:
        found = _parsed(text)
    except ValueError:
        try:
            found = time.time_ns() - int(duration(flag, text))
        except CliError:
            hint = "write a time as in 2026-01-31T10:00:00Z, seconds since 1970, or how long ago as in 10m"
            raise misuse(flag, text, hint) from None
    return f"{found // 10**9}.{found % 10**9:09d}"


def _parsed(text: str) -> int:
    from datetime import datetime

    zoned = text.endswith(("Z", "z")) or "+" in text[10:] or "-" in text[10:]
    if zoned:
        return nanoseconds(text)
    for form in _FORMS:
        try:
            whole, _, fraction = text.partition(".")
            seconds = int(datetime.strptime(whole, form).astimezone().timestamp())
            return seconds * 10**9 + int(fraction.ljust(9, "0")[:9])
        except ValueError:
            continue
    raise ValueError(text)


def nanoseconds(text: str) -> int:
    """An RFC 3339 time, up to nanoseconds → ns since 1970. ValueError when it is none."""
    from datetime import datetime

    zone = "Z" if text.endswith(("Z", "z")) else text[-6:]
    bare = text[: -len(zone)]
    whole, _, fraction = bare.partition(".")
    offset = "+00:00" if zone in ("Z", "z") else zone
    seconds = datetime.fromisoformat(whole + offset).timestamp()
    return int(seconds) * 10**9 + int((fraction or "0").ljust(9, "0")[:9])


def ago(seconds: float) -> str:
    """A span as docker words it, without `ago`."""
    whole, minutes, hours = int(seconds), int(seconds / 60), int(seconds / 3600 + 0.5)
    if whole < 1:
        return "Less than a second"
    if whole < 60:
        return "1 second" if whole == 1 else f"{whole} seconds"
    if minutes < 60:
        return "About a minute" if minutes == 1 else f"{minutes} minutes"
    if hours < 48:
        return "About an hour" if hours == 1 else f"{hours} hours"
    for limit, unit, name in (
        (24 * 14, 24, "days"),
        (24 * 60, 24 * 7, "weeks"),
        (24 * 730, 24 * 30, "months"),
    ):
        if hours < limit:
            return f"{hours // unit} {name}"
    return f"{int(seconds / 3600) // 24 // 365} years"


def since(when: float | str) -> str:
    """Seconds since 1970, or an RFC 3339 time → `3 hours ago`; "N/A" for a time that never was."""
    try:
        seconds = when if isinstance(when, int | float) else nanoseconds(when) / 1e9
    except (ValueError, OverflowError):
        return "N/A"
    return "N/A" if seconds <= 0 else f"{ago(time.time() - seconds)} ago"


def shown(when: float) -> str:
    """Seconds since 1970 → `2026-01-31 10:00:00 +0100 CET`, as docker's tables have it."""
    return time.strftime("%Y-%m-%d %H:%M:%S %z %Z", time.localtime(when))


def rfc3339(nanosecond: int, *, fraction: bool = True) -> str:
    """Ns since 1970 → `2026-01-31T10:00:00.000000001+01:00`, in our zone."""
    whole, rest = divmod(nanosecond, 10**9)
    here = time.localtime(whole)
    offset = time.strftime("%z", here)
    zone = "Z" if offset == "+0000" else f"{offset[:3]}:{offset[3:]}"
    part = f".{rest:09d}" if fraction else ""
    return time.strftime("%Y-%m-%dT%H:%M:%S", here) + part + zone


def utc(text: str) -> str:
    """An RFC 3339 time → `2026-01-31 10:00:00.5 +0000 UTC`; what is none stays as it is."""
    try:
        whole, rest = divmod(nanoseconds(text), 10**9)
    except ValueError:
        return text
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(whole)) + f"{fraction} +0000 UTC"
