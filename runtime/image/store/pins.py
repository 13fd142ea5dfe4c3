"""Images that work in progress needs: they stay until it is over, whoever wants them away."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator


class Pins:
    """Image ids that are held, in this process only."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()

    def __contains__(self, image_id: object) -> bool:
        """Whether an image is held now."""
        return image_id in self._held

    @contextlib.contextmanager
    def holding(self) -> Iterator[Holder]:
        """Yield what takes ids; they are let go at the end."""
        holder = Holder(self._held)
        try:
            yield holder
        finally:
            self._held -= Counter(holder.ids)


class Holder:
    """One piece of work. ids: the images that it holds."""

    def __init__(self, held: Counter[str]) -> None:
        self._held = held
        self.ids: list[str] = []

    def hold(self, image_id: str) -> None:
        """Keep an image until the work is over."""
        self.ids.append(image_id)
        self._held[image_id] += 1
