"""What the volume room gives: a volume as its document on disk says it."""

from __future__ import annotations

from typing import Literal

import msgspec


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """A volume. created: RFC 3339. options: of the driver `local`: type, device, o, size.

    population: how far the copy of an image's content has come; `started` means it was cut off.
    populated_part: which directory of the volume that copy went to, "" for the whole.
    """

    name: str
    created: str
    driver: str = "local"
    options: dict[str, str] = {}
    labels: dict[str, str] = {}
    population: Literal["", "started", "done"] = ""
    populated_part: str = ""
    version: int = 1
