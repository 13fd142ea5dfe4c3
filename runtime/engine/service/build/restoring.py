"""Reuse of steps in the histories of images that `--cache-from` names. Blocking.

An image that was pulled or loaded has no parents here, but its history says how it was made. Where that
begins like the build's and continues with the wanted step, the image's layer is the step's result.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from runtime.engine.service.build.state import StageState, Step
from runtime.engine.service.images.image_config import (
    ImageDocument,
    grown_document,
    read_document,
    rows_of,
    write_document,
)
from runtime.image.errors import ImageError
from runtime.image.store.image import Image
from runtime.image.store.image_store import ImageStore
from runtime.image.store.pins import Holder


class Origins:
    """The images whose steps may be reused. Unknown names are ignored."""

    def __init__(self, store: ImageStore, names: Sequence[str]) -> None:
        self._store = store
        self._documents: dict[str, ImageDocument] = {}
        for name in names:
            try:
                image_id = store.find_id(name)
                self._documents[image_id] = read_document(store.content.read_blob(image_id))
            except ImageError:
                continue

    def find(self, state: StageState, step: Step, holder: Holder) -> Image | None:
        """Return the image that the step would make, made from one of these images if needed, and hold it."""
        for image_id, document in self._documents.items():
            if not _goes_on(document, state.document, step.created_by):
                continue
            holder.hold(image_id)
            try:
                return self._reached(self._store.resolve(image_id), document, state, step, holder)
            except ImageError:  # removed just now
                continue
        return None

    def _reached(
        self, image: Image, document: ImageDocument, state: StageState, step: Step, holder: Holder
    ) -> Image:
        parent = state.image.id if state.image else ""
        done = len(rows_of(state.document))
        if len(document.history) == done + 1:
            return self._store.adopt(image.id, parent, step.digest)
        row = document.history[done]
        below = len(state.document.rootfs.diff_ids)
        layers = image.layers[: below if row.empty_layer else below + 1]
        config = msgspec.structs.replace(step.config, image=parent)
        diff_id = "" if row.empty_layer else layers[-1].diff_id
        made = write_document(grown_document(state.document, config, row, diff_id))
        return self._store.register((), layers, made, parent=parent, step=step.digest, holder=holder)


def _goes_on(document: ImageDocument, parent: ImageDocument, created_by: str) -> bool:
    """Say whether an image's history begins with `parent`'s and continues with the step."""
    rows, diff_ids = rows_of(parent), parent.rootfs.diff_ids
    if len(document.history) <= len(rows) or document.history[len(rows)].created_by != created_by:
        return False
    return document.history[: len(rows)] == rows and document.rootfs.diff_ids[: len(diff_ids)] == diff_ids
