"""Sizes of terminals, as clients ask for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import msgspec

Cells = Annotated[int, msgspec.Meta(ge=0)]
"""Rows or columns."""

_MOST = (1 << 16) - 1
"""What the kernel keeps."""


def console_size(asked: Sequence[int] | None) -> tuple[int, int]:
    """Return rows and columns; what is left out is 0, what comes after them is left away, as by docker."""
    rows, columns, *_ = (*(asked or ()), 0, 0)
    return min(rows, _MOST), min(columns, _MOST)
