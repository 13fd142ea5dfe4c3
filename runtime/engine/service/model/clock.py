"""The wall clock."""

from __future__ import annotations

import time

from runtime.docker_syntax.times import text_of


def now() -> str:
    """Return the time as records and answers have it: RFC 3339 in UTC with nanoseconds."""
    return text_of(time.time_ns())
