"""What ends a comparison before it has a result."""

from __future__ import annotations

from collections.abc import Sequence

from bench.compare.comparability import Difference


class CompareError(Exception):
    """Two runs give no comparison: names the run, what is wrong with it, and what to do."""


class RefusedError(CompareError):
    """Two runs of unlike hosts or images. `differences` has every item, in the order they are told."""

    def __init__(self, message: str, differences: Sequence[Difference]) -> None:
        super().__init__(message)
        self.differences = tuple(differences)
