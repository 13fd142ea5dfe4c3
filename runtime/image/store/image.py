"""A resolved image: its documents, names, and unpacked layers."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from runtime.image.documents import Descriptor, Execution, ImageConfig, Manifest, decode
from runtime.image.errors import ImageError
from runtime.image.layers.document_cache import Documents, version_of
from runtime.image.layers.layer_store import Layer, LayerStore
from runtime.image.store import catalog
from runtime.image.store.catalog import Entries

MAX_LAYERS = 500
"""The limit of the kernel's overlayfs (OVL_MAX_STACK)."""


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A resolved image. `id` is its config's digest (what docker shows), `digest` its manifest's.

    reference: the name it was found by, else its first, else its id. names: all `repository:tag`;
    repo_digests: all `repository@sha256:…`. parent: the id of the image that it was built from here, or "".
    `layer_dirs`: in overlay form, lowest first, without those that a higher one hides wholly.
    unpacked_size: bytes of the files in its layers. tagged: when it was last tagged here (RFC 3339, or "").
    """

    reference: str
    id: str
    digest: str
    media_type: str
    config: ImageConfig
    layers: tuple[Layer, ...]
    layer_dirs: tuple[Path, ...]
    unpacked_size: int
    names: tuple[str, ...] = ()
    repo_digests: tuple[str, ...] = ()
    parent: str = ""
    tagged: str = ""

    @property
    def execution(self) -> Execution:
        """The image's settings for running it."""
        return self.config.config or Execution()

    @property
    def size(self) -> int:
        """Bytes of its compressed layers."""
        return sum(layer.size for layer in self.layers)


def read_documents(content: LayerStore, entry: Descriptor) -> Documents:
    """Read and check an entry's manifest and config. ImageError: missing, changed or malformed."""
    where = content.blob_path(entry.digest)
    known = content.documents.get(entry.digest, where)
    if known is not None:
        return known
    shown = catalog.name_of(entry) or entry.digest
    try:
        version = version_of(where)
        manifest = decode(content.read_blob(entry.digest), Manifest)
        config_path = content.blob_path(manifest.config.digest)
        version += version_of(config_path)
        config = decode(content.read_blob(manifest.config.digest), ImageConfig)
    except msgspec.MsgspecError as error:
        raise ImageError(f"image {shown} has a malformed document: {error}; import it again") from error
    if len(config.rootfs.diff_ids) != len(manifest.layers):
        raise ImageError(f"image {shown} has unequal numbers of layers and digests; import it again")
    found = Documents(manifest, config)
    content.documents.put(entry.digest, version, config_path, found)
    return found


def load_image(content: LayerStore, entries: Entries, entry: Descriptor) -> Image:
    """Resolve an entry; missing layers are unpacked."""
    manifest, config = read_documents(content, entry)
    layers = layers_of(manifest, config)
    unpacked = [content.unpacked(layer) for layer in layers]
    opaque = [number for number, one in enumerate(unpacked) if one.record.hides_all]
    mine = catalog.of_image(entries, catalog.id_of(entry))
    return Image(
        reference=catalog.name_of(entry) or catalog.id_of(entry),
        id=catalog.id_of(entry),
        digest=entry.digest,
        media_type=entry.media_type,
        config=config,
        layers=layers,
        layer_dirs=tuple(layer.tree for layer in unpacked[opaque[-1] if opaque else 0 :]),
        unpacked_size=sum(layer.record.bytes for layer in unpacked),
        names=catalog.tags(mine),
        repo_digests=catalog.repo_digests(mine),
        parent=catalog.parent_of(entries, catalog.id_of(entry)),
        tagged=max((entry.annotations.get(catalog.TAGGED, "") for entry in mine), default=""),
    )


def used_content(content: LayerStore, entries: Iterable[Descriptor]) -> tuple[set[str], set[str]]:
    """Return the diff ids of the layers and the digests of the blobs that these entries use."""
    layers: set[str] = set()
    blobs: set[str] = set()
    for entry in {entry.digest: entry for entry in entries}.values():
        manifest, config = read_documents(content, entry)
        layers.update(config.rootfs.diff_ids)
        used = {content.at_hand(layer).digest for layer in layers_of(manifest, config)}
        blobs |= {entry.digest, manifest.config.digest} | used
    return layers, blobs


def layers_of(manifest: Manifest, config: ImageConfig) -> tuple[Layer, ...]:
    """Return a manifest's layers, with their tars' digests from the config."""
    pairs = zip(manifest.layers, config.rootfs.diff_ids, strict=True)
    return tuple(
        Layer(digest=blob.digest, size=blob.size, media_type=blob.media_type, diff_id=diff_id)
        for blob, diff_id in pairs
    )
