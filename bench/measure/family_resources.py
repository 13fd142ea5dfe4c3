"""What the scenarios of a family share for a whole run, opened when the first of them needs it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack

from bench.scenarios.base import error_text

Maker = Callable[[], AbstractContextManager[object]]

NAMES = {"network": "wire to the remote peer", "image": "counting registry"}
"""What a message calls the resource of a family."""


class FamilyResources:
    """The wire (network family), the counting registry (image family). closing ends what was opened."""

    def __init__(self, makers: Mapping[str, Maker], closing: ExitStack, note: Callable[[str], None]) -> None:
        self._makers = makers
        self._closing = closing
        self._note = note
        self._opened: dict[str, object] = {}

    def need(self, families: Iterable[str]) -> str:
        """Open what these families need and is not open; returns why it cannot be opened, "" when it is."""
        for family in dict.fromkeys(families):
            if family not in self._makers or family in self._opened:
                continue
            try:
                self._opened[family] = self._closing.enter_context(self._makers[family]())
            except Exception as error:
                reason = f"no {NAMES.get(family, family)}: {error_text(error)}"
                self._note(reason)
                return reason
        return ""

    def get(self, family: str) -> object | None:
        """What was opened for a family."""
        return self._opened.get(family)
