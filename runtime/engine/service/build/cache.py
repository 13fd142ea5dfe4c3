"""The build cache: images made here from the same parent by the same instruction. Blocking."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.engine.service.build.restoring import Origins
from runtime.engine.service.build.state import StageState, Step
from runtime.image.errors import ImageError
from runtime.image.store.image import Image
from runtime.image.store.image_store import ImageStore
from runtime.image.store.pins import Holder


class Cache:
    """Finds steps. sources: reuse only steps of these images' histories."""

    def __init__(self, store: ImageStore, *, off: bool, sources: Sequence[str]) -> None:
        self._store, self._off = store, off
        self._allowed = _ancestors(store, sources) if sources else None
        self._origins = Origins(store, sources)

    def find(self, state: StageState, step: Step, holder: Holder) -> Image | None:
        """Return the image that the step makes of the stage's image, and hold it."""
        if self._off:
            return None
        return self._made_here(state, step, holder) or self._origins.find(state, step, holder)

    def _made_here(self, state: StageState, step: Step, holder: Holder) -> Image | None:
        """Return the newest image that the step made."""
        parent = state.image.id if state.image else ""
        for image_id in reversed(self._store.made_by(parent, step.digest)):
            if self._allowed is not None and image_id not in self._allowed:
                continue
            holder.hold(image_id)
            try:
                return self._store.resolve(image_id)
            except ImageError:  # damaged, or removed just now: it is made again
                continue
        return None


def _ancestors(store: ImageStore, sources: Sequence[str]) -> frozenset[str]:
    found: set[str] = set()
    for source in sources:
        try:
            image = store.resolve(source)
            while image.id not in found:
                found.add(image.id)
                if not image.parent:
                    break
                image = store.resolve(image.parent)
        except ImageError:
            continue
    return frozenset(found)
