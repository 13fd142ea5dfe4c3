"""Numbers and times as a reader would say them."""

from __future__ import annotations

import math
import re
from datetime import datetime

_ROUND = re.compile(r"\.0+(?!\d)")

NBSP = "\u00a0"
"""Between a number and its unit, so that no line ends there."""

_ALIASES = {
    "b": "bytes", "byte": "bytes", "B": "bytes", "B/s": "bytes/s", "bits/s": "bit/s", "bps": "bit/s",
    "ratio": "times", "seconds": "s", "sec": "s", "s/gib": "s/GiB",
}  # fmt: skip
_SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_TIMES = ((60.0, "min"), (1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_BINARY = ((2.0**30, "GiB"), (2.0**20, "MiB"), (2.0**10, "KiB"), (1.0, "bytes"))
_DECIMAL = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))


def scale(unit: str, typical: float) -> tuple[float, str]:
    """The factor to multiply by and the unit to show, chosen so that `typical` reads as 1 to 999.

    >>> scale("s", 0.0011)
    (1000.0, 'ms')
    """
    unit = _ALIASES.get(unit, unit)
    if unit in _SECONDS:
        size, shown = _step(_TIMES[1:], abs(typical) * _SECONDS[unit])
        return _SECONDS[unit] / size, shown
    if unit == "bytes":
        size, shown = _step(_BINARY, abs(typical))
        return 1 / size, shown
    if unit in ("bytes/s", "bit/s"):
        size, prefix = _step(_DECIMAL, abs(typical))
        return 1 / size, f"{prefix}{'B' if unit == 'bytes/s' else 'bit'}/s"
    return 1.0, unit


def _step(steps: tuple[tuple[float, str], ...], value: float) -> tuple[float, str]:
    return next((step for step in steps if value >= step[0] * 0.9995), steps[-1])


def quantity(value: float | None, unit: str) -> str:
    """A value with its unit: `1.10 ms`, `956 Mbit/s`, `4.00 KiB`; a dash where there is no value."""
    if value is None or not math.isfinite(value):
        return "–"
    factor, shown = scale(unit, value)
    return f"{digits(value * factor)}{NBSP}{shown}".strip()


def digits(value: float) -> str:
    """Three significant digits and no exponent for anything from 0.001 up; thousands are grouped."""
    size = abs(value)
    if size == 0:
        return "0"
    if size < 1e-3:
        return f"{value:.2g}"
    decimals = max(0, 2 - math.floor(math.log10(float(f"{size:.3g}"))))
    return f"{value:,.{decimals}f}"


def share(ratio: float | None) -> str:
    """A performance ratio as per cent of the host's: never `faster by`, which is read in three ways."""
    if ratio is None or not math.isfinite(ratio):
        return "–"
    per_cent = ratio * 100
    if 10 <= per_cent < 1000:
        return f"{per_cent:.1f}{NBSP}%"
    return f"{digits(per_cent)}{NBSP}%" if per_cent >= 0.001 else f"under 0.001{NBSP}%"


def limit(text: str) -> str:
    """A limit is a round number and is written like one: `1 s`, `99 %`."""
    return _ROUND.sub("", text)


def day(stamp: str) -> str:
    """`24 November 2026` from an ISO time; the text itself where it is not one."""
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError:
        return stamp
    return f"{moment.day} {moment:%B %Y}"


def minutes(started: str, ended: str) -> str:
    """How long a run took, or nothing when a stamp is missing."""
    try:
        seconds = (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds()
    except (ValueError, TypeError):
        return ""
    return f"{seconds / 60:.1f} min" if seconds >= 90 else f"{seconds:.0f} s"


def listed(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}" if names else ""


def count(number: int, noun: str) -> str:
    """`1 sample`, `2,000 samples`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
