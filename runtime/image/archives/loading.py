"""Load the images of an archive under their names: docker's `load`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from runtime.image.archives.reading import ArchivedImage, OnLayer, ignore_layer, read_archive
from runtime.image.documents import ImageConfig, decode, digest_of
from runtime.image.layers.pipeline import Readable
from runtime.image.references import named_reference
from runtime.image.store.image import Image

if TYPE_CHECKING:
    from runtime.image.store.image_store import ImageStore


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A loaded image. lost: names that other images had before, with those images' ids."""

    image: Image
    names: tuple[str, ...]
    lost: dict[str, str]


def load(store: ImageStore, source: Readable, on_layer: OnLayer = ignore_layer) -> list[Loaded]:
    """Load all images of an archive. Raises ImageError; then none was added."""
    try:
        with store.adding():
            return _load(store, source, on_layer)
    except Exception:
        store.tidy()
        raise


def _load(store: ImageStore, source: Readable, on_layer: OnLayer) -> list[Loaded]:
    found = read_archive(source, store.content, store.limits, on_layer)
    all_names = [tuple(named_reference(name) for name in item.names) for item in found]
    loaded = []
    by_id = {digest_of(item.config): item for item in found}
    for item, names in zip(found, all_names, strict=True):
        before = store.ids_of(names)
        image = _add(store, item, names, _parent_of(item, by_id))
        lost = {name: old for name, old in before.items() if old != image.id}
        loaded.append(Loaded(image=image, names=names, lost=lost))
    return loaded


def _add(store: ImageStore, item: ArchivedImage, names: tuple[str, ...], parent: str) -> Image:
    if item.manifest:
        return store.add_image(names, item.manifest, item.media_type, item.layers, item.config)
    return store.register(names, item.layers, item.config, parent=parent)


def _parent_of(item: ArchivedImage, others: Mapping[str, ArchivedImage]) -> str:
    """Return the parent that an image claims, if the archive has it and it can be the parent; else ""."""
    if item.parent not in others:
        return ""
    mine, its = decode(item.config, ImageConfig), decode(others[item.parent].config, ImageConfig)
    steps, before = mine.history or (), its.history or ()
    below = its.rootfs.diff_ids
    one_step = len(steps) == len(before) + 1 and steps[:-1] == before
    grown = mine.rootfs.diff_ids[: len(below)] == below
    return item.parent if grown and (one_step or not steps) else ""
