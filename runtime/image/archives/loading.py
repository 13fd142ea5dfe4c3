"""Images from an archive, under the names it gives: docker's `load`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from runtime.image.archives.reading import ArchivedImage, OnLayer, ignore_layer, read_archive
from runtime.image.documents import ImageConfig, decode
from runtime.image.layers.pipeline import Readable
from runtime.image.references import named_reference
from runtime.image.store.image import Image

if TYPE_CHECKING:
    from runtime.image.store.image_store import ImageStore


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """An image that came from an archive. lost: names that other images had until now, with their ids."""

    image: Image
    names: tuple[str, ...]
    lost: dict[str, str]


def load(store: ImageStore, source: Readable, on_layer: OnLayer = ignore_layer) -> list[Loaded]:
    """Take in all images of an archive, a file or a stream. Raises ImageError; then none has a name."""
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
    by_id = {_id_of(item): item for item in found}
    for item, names in zip(found, all_names, strict=True):
        before = store.owners(names)
        image = _add(store, item, names, _parent_of(item, by_id))
        lost = {name: old for name, old in before.items() if old != image.id}
        loaded.append(Loaded(image=image, names=names, lost=lost))
    return loaded


def _add(store: ImageStore, item: ArchivedImage, names: tuple[str, ...], parent: str) -> Image:
    if item.manifest:
        return store.add_image(names, item.manifest, item.media_type, item.layers, item.config)
    return store.register(names, item.layers, item.config, parent=parent)


def _id_of(item: ArchivedImage) -> str:
    return f"sha256:{hashlib.sha256(item.config).hexdigest()}"


def _parent_of(item: ArchivedImage, others: Mapping[str, ArchivedImage]) -> str:
    """Return what an image says it was made from, if that is in the archive too and it can be; else ""."""
    if item.parent not in others:
        return ""
    mine, its = decode(item.config, ImageConfig), decode(others[item.parent].config, ImageConfig)
    steps, before = mine.history or (), its.history or ()
    below = its.rootfs.diff_ids
    one_step = len(steps) == len(before) + 1 and steps[:-1] == before
    grown = mine.rootfs.diff_ids[: len(below)] == below
    return item.parent if grown and (one_step or not steps) else ""
