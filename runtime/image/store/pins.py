"""Pin images that running builds need: nobody removes them meanwhile."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator


class Pins:
    """The pinned image ids of this process."""

    def __init__(self) -> None:
        self._held: Counter[str] = Counter()

    def __contains__(self, image_id: object) -> bool:
        """Say whether an image is pinned."""
        return image_id in self._held

    @contextlib.contextmanager
    def holding(self) -> Iterator[Holder]:
        """Yield a Holder; its ids are unpinned at the end."""
        holder = Holder(self._held)
        try:
            yield holder
        finally:
            self._held -= Counter(holder.ids)


class Holder:
    """One user of pins. ids: the images that it pins."""

    def __init__(self, held: Counter[str]) -> None:
        self._held = held
        self.ids: list[str] = []

    def hold(self, image_id: str) -> None:
        """Pin an image until the work is over."""
        self.ids.append(image_id)
        self._held[image_id] += 1
