"""Names and numbers of signals, as docker's clients write them."""

from __future__ import annotations

import signal

from runtime.engine.errors import BadParameterError

LAST = 64


def number_of(text: str, default: int = signal.SIGTERM) -> int:
    """Return the number of `KILL`, `sigkill`, `9` or `RTMIN+3`; "" is the default. BadParameterError."""
    if not text:
        return default
    if text.isdecimal():
        number = int(text)
        if not 1 <= number <= LAST:
            raise _invalid(text)
        return number
    name = text.upper()
    name = name if name.startswith("SIG") else f"SIG{name}"
    base, sign, offset = name.partition("+") if "+" in name else name.partition("-")
    try:
        number = signal.Signals[base].value
        if sign:
            number += int(sign + offset)
    except (KeyError, ValueError):
        raise _invalid(text) from None
    if not 1 <= number <= LAST:
        raise _invalid(text)
    return number


def _invalid(text: str) -> BadParameterError:
    return BadParameterError(f"invalid signal: {text}")
