"""Save images as one archive: an OCI layout with docker's files, for docker, podman, skopeo and containerd.

Layers are written uncompressed, as docker does; every reader accepts that.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from runtime.image.documents import (
    CONFIG,
    CONTAINERD_NAME,
    LAYER,
    MANIFEST,
    REF_NAME,
    Descriptor,
    Index,
    Manifest,
    digest_of,
    encode,
)
from runtime.image.errors import ImageNotFoundError
from runtime.image.layers.layer_store import Layer
from runtime.image.references import HUB, parse_reference
from runtime.image.store.image import Image
from runtime.image.store.listing import seconds_of

if TYPE_CHECKING:
    from runtime.image.store.image_store import ImageStore

_BLOCK = 512


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """An image to save, and the names to save it under."""

    image: Image
    names: tuple[str, ...]


def choose(store: ImageStore, references: Sequence[str]) -> tuple[Chosen, ...]:
    """Find the images to save, each once. A repository without a tag means all its tags, an id no name.

    Raises ImageNotFoundError and what resolve() does.
    """
    found: dict[str, Chosen] = {}
    for text in references:
        for image, names in _images_of(store, text):
            before = found.get(image.id)
            old = before.names if before else ()
            names = (*old, *(name for name in names if name not in old))
            found[image.id] = Chosen(image=image, names=names)
    return tuple(found.values())


def _images_of(store: ImageStore, text: str) -> list[tuple[Image, tuple[str, ...]]]:
    if store.is_id(text):
        return [(store.resolve(text), ())]
    reference = parse_reference(text)
    if reference.tag or reference.digest:
        image = store.resolve(text)
        return [(image, () if reference.digest else (str(reference),))]
    images: list[tuple[Image, tuple[str, ...]]] = [
        (image, (image.reference,))
        for image in store.list()
        if image.names and parse_reference(image.reference).repository == reference.repository
    ]
    if not images:
        raise ImageNotFoundError(f"No such image: {text}; nn images lists what is here")
    return images


def save(store: ImageStore, chosen: Sequence[Chosen]) -> Iterator[bytes]:
    """Yield the archive of these images, which cannot be removed meanwhile."""
    with store.adding():
        written: set[str] = set()
        entries: list[Descriptor] = []
        for item in chosen:
            manifest = _manifest(store, item.image)
            data = encode(manifest)
            digest = digest_of(data)
            created_s = _created_s(item.image)
            yield from _file(_blob_name(digest), data, written, created_s)
            config = store.content.read_blob(item.image.id)
            yield from _file(_blob_name(item.image.id), config, written, created_s)
            for layer in item.image.layers:
                yield from _layer(store, layer, written, created_s)
            entries.extend(
                _entries(Descriptor(media_type=MANIFEST, digest=digest, size=len(data)), item.names)
            )
        yield from _documents(chosen, entries)
    yield bytes(2 * _BLOCK)


def _created_s(image: Image) -> int:
    """Return when the image was created, in Unix seconds; 0 if unknown or not representable in a tar."""
    return max(0, int(seconds_of(image.config.created)))


def _manifest(store: ImageStore, image: Image) -> Manifest:
    size = len(store.content.read_blob(image.id))
    return Manifest(
        config=Descriptor(media_type=CONFIG, digest=image.id, size=size),
        layers=tuple(
            Descriptor(media_type=LAYER, digest=layer.diff_id, size=store.content.tar_bytes(layer))
            for layer in image.layers
        ),
    )


def _entries(entry: Descriptor, names: Sequence[str]) -> list[Descriptor]:
    if not names:
        return [entry]
    marks = [
        {CONTAINERD_NAME: _full_name(name), REF_NAME: parse_reference(name).tagged().tag} for name in names
    ]
    return [msgspec.structs.replace(entry, annotations=mark) for mark in marks]


def _full_name(name: str) -> str:
    reference = parse_reference(name).tagged()
    if reference.host != HUB:
        return str(reference)
    return f"{HUB}/{reference.path}:{reference.tag}"


def _documents(chosen: Sequence[Chosen], entries: Sequence[Descriptor]) -> Iterator[bytes]:
    written: set[str] = set()
    ids = {item.image.id for item in chosen}
    docker = [
        {
            "Config": _blob_name(item.image.id),
            "RepoTags": list(item.names) or None,
            "Layers": [_blob_name(layer.diff_id) for layer in item.image.layers],
            **({"Parent": item.image.parent} if item.image.parent in ids else {}),
        }
        for item in chosen
    ]
    files: dict[str, Any] = {
        "index.json": Index(manifests=tuple(entries)),
        "manifest.json": docker,
        "oci-layout": {"imageLayoutVersion": "1.0.0"},
        "repositories": _repositories(chosen),
    }
    for name, document in files.items():
        yield from _file(name, msgspec.json.encode(document, order="deterministic"), written)


def _repositories(chosen: Sequence[Chosen]) -> dict[str, dict[str, str]]:
    """Return the file of Docker before 1.10: repository → tag → topmost layer."""
    found: dict[str, dict[str, str]] = {}
    for item in chosen:
        for name in item.names:
            reference = parse_reference(name).tagged()
            top = item.image.layers[-1].diff_id if item.image.layers else item.image.id
            found.setdefault(reference.repository, {})[reference.tag] = top.removeprefix("sha256:")
    return found


# ---- members --------------------------------------------------------------------------------------------


def _layer(store: ImageStore, layer: Layer, written: set[str], created_s: int) -> Iterator[bytes]:
    name = _blob_name(layer.diff_id)
    if name in written:
        return
    written.add(name)
    size = store.content.tar_bytes(layer)
    yield _header(name, size, created_s)
    yield from store.content.read_tar(layer)
    yield bytes(-size % _BLOCK)


def _file(name: str, data: bytes, written: set[str], created_s: int = 0) -> Iterator[bytes]:
    if name not in written:
        written.add(name)
        yield _header(name, len(data), created_s) + data + bytes(-len(data) % _BLOCK)


def _header(name: str, size: int, created_s: int) -> bytes:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode, entry.mtime = size, 0o644, created_s
    return entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _blob_name(digest: str) -> str:
    return f"blobs/sha256/{digest.removeprefix('sha256:')}"
