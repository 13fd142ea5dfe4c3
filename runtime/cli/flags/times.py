"""Times: of --since and --until, of the API's answers, and as docker's tables show them."""

from __future__ import annotations

import time

from runtime.cli.errors import misuse
from runtime.docker_syntax import MalformedError, durations


def moment(flag: str, text: str) -> str:
    """`10m` (ago), `1700000000.5`, `2026-01-31T10:00:00Z`, `2026-01-31` (here) → seconds since 1970."""
    from runtime.docker_syntax import times

    if text.isdecimal() and text.isascii():
        return text
    try:
        found = times.moment_ns(text)
    except MalformedError:
        hint = "write a time as in 2026-01-31T10:00:00Z, seconds since 1970, or how long ago as in 10m"
        raise misuse(flag, text, hint) from None
    return f"{found // 10**9}.{found % 10**9:09d}"


def ago(seconds: float) -> str:
    """Return a time span in docker's words, without `ago`."""
    return durations.words(int(seconds * 10**9))


def since(when: float | str) -> str:
    """Seconds since 1970, or an RFC 3339 time → `3 hours ago`; "N/A" for no time."""
    from runtime.docker_syntax import times

    try:
        seconds = when if isinstance(when, int | float) else times.ns_of(when) / 1e9
    except MalformedError:
        return "N/A"
    return "N/A" if seconds <= 0 else f"{ago(time.time() - seconds)} ago"


def shown(when: float) -> str:
    """Seconds since 1970 → `2026-01-31 10:00:00 +0100 CET`, as in docker's tables."""
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
    """An RFC 3339 time → `2026-01-31 10:00:00.5 +0000 UTC`; other texts stay as they are."""
    from runtime.docker_syntax import times

    try:
        whole, rest = divmod(times.ns_of(text), 10**9)
    except MalformedError:
        return text
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(whole)) + f"{fraction} +0000 UTC"
