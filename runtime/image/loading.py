"""Images from an archive, under the names it gives: docker's `load`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from runtime.image.archive import OnLayer, ignore_layer, read_archive
from runtime.image.compression import Readable
from runtime.image.errors import ImageError
from runtime.image.image import Image
from runtime.image.references import named_reference

if TYPE_CHECKING:
    from runtime.image.store import ImageStore


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
    for item, names in zip(found, all_names, strict=True):
        before = store.owners(names)
        image = store.add_found(item, names)
        lost = {name: old for name, old in before.items() if old != image.id}
        loaded.append(Loaded(image=image, names=names, lost=lost))
    return loaded


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
