"""Images from an archive, under the names it gives: docker's `load`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from runtime.image.archives.reading import ArchivedImage, OnLayer, ignore_layer, read_archive
from runtime.image.documents import ImageConfig, decode
from runtime.image.errors import ImageError
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


def load(store: ImageStore, source: Path | Readable, on_layer: OnLayer = ignore_layer) -> list[Loaded]:
    """Take in all images of an archive, a file or a stream. Raises ImageError; then none has a name."""
    try:
        with store.adding():
            return _load(store, source, on_layer)
    except Exception:
        store.tidy()
        raise


def _load(store: ImageStore, source: Path | Readable, on_layer: OnLayer) -> list[Loaded]:
    found = read_archive(source, store.content, store.limits, on_layer)
    all_names = [tuple(named_reference(name) for name in item.names) for item in found]
    loaded = []
    by_id = {_id_of(item): item for item in found}
    for item, names in zip(found, all_names, strict=True):
        before = store.owners(names)
        image = store.add_found(item, names, _parent_of(item, by_id))
        lost = {name: old for name, old in before.items() if old != image.id}
        loaded.append(Loaded(image=image, names=names, lost=lost))
    return loaded


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


def import_archive(store: ImageStore, source: Path, reference: str | None = None) -> list[Image]:
    """Take in the images of an archive, or of an OCI layout directory, under their own names.

    With `reference`, it must hold one image, which gets that name. Raises ImageError.
    """
    images: list[Image] = []
    with store.adding():
        found = read_archive(source, store.content, store.limits)
        if reference is not None and len(found) != 1:
            raise ImageError(f"archive {source} holds {len(found)} images; import it without a name")
        for item in found:
            names = item.names if reference is None else (reference,)
            if not names:
                raise ImageError(f"archive {source} holds an image without a name; give one")
            images.extend(store.add_found(item, (name,)) for name in names)
    return images
