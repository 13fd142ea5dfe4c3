"""`build --squash`: merge all layers that a build has added. Blocking."""

from __future__ import annotations

from pathlib import Path

import msgspec

from runtime.engine.service.images.image_config import HistoryRow, read_document, write_document
from runtime.engine.service.model.record import now
from runtime.image.documents import RootFs
from runtime.image.layers.flatten import squash
from runtime.image.store.image import Image
from runtime.image.store.image_store import ImageStore
from runtime.image.store.pins import Holder


def squashed(store: ImageStore, image: Image, base: Image | None, scratch: Path, holder: Holder) -> Image:
    """Return an image like `image`, of the layers of `base` and one more. Raises ImageError.

    scratch: a directory on the store's file system. The image itself stays, for the cache.
    """
    below = base.layers if base else ()
    target = scratch / "squashed"
    with store.adding():
        squash([store.content.unpacked(layer).tree for layer in image.layers[len(below) :]], target)
        layer = store.content.add_changes(target)
        layers = (*below, layer) if layer else below
        document = read_document(store.content.read_blob(image.id))
        merge = HistoryRow(
            created=now(),
            comment=f"merge {image.id} to {base.id if base else ''}",
            empty_layer=layer is None,
        )
        kept = len(base.config.history or base.layers) if base else 0
        added = tuple(msgspec.structs.replace(row, empty_layer=True) for row in document.history[kept:])
        document = msgspec.structs.replace(
            document,
            created=merge.created,
            history=(*document.history[:kept], *added, merge),
            rootfs=RootFs(diff_ids=tuple(one.diff_id for one in layers)),
        )
        return store.register((), layers, write_document(document), holder=holder)
