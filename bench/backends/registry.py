"""The systems under test, by the name a user types. A new one is one file here and one line below."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bench.backends.base import Backend
from bench.backends.host import HostBackend

Factory = Callable[[Path], Backend]
"""Makes a backend whose files live below the given directory; nothing is touched until it is used."""

BACKENDS: dict[str, Factory] = {
    "host": HostBackend,
}
