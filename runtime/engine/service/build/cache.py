"""Which step was done before: images made here from the same parent by the same instruction. Blocking."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from runtime.engine.service.request import Config
from runtime.image.errors import ImageError
from runtime.image.image import Image
from runtime.image.pins import Holder
from runtime.image.store import ImageStore


def step_digest(created_by: str, config: Config) -> str:
    """Return what names a step: its instruction, with digests of what it copies, and the resulting config."""
    document = msgspec.json.encode([created_by, msgspec.to_builtins(config)], order="deterministic")
    return hashlib.sha256(document).hexdigest()


class Cache:
    """Looks for steps. sources: only steps that these images consist of count, and those that are here."""

    def __init__(self, store: ImageStore, *, off: bool, sources: Sequence[str]) -> None:
        self._store, self._off = store, off
        self._allowed = _ancestors(store, sources) if sources else None

    def find(self, parent: str, step: str, holder: Holder) -> Image | None:
        """Return the newest image that the step made from `parent` (an id, "" for nothing), and hold it."""
        if self._off:
            return None
        for image_id in reversed(self._store.made_by(parent, step)):
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
