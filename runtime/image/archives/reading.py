"""Read image archives: those of `docker save`, `podman save` and `skopeo copy … oci-archive:`.

The members are first copied to numbered files in a scratch directory. Their names never reach the file
system, and the documents among them may refer to any member.
"""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, cast

import msgspec

from runtime.image.archives.legacy import OldArchive
from runtime.image.documents import (
    CONTAINERD_NAME,
    INDEXES,
    MANIFEST,
    MANIFESTS,
    REF_NAME,
    Descriptor,
    ImageConfig,
    Index,
    Manifest,
    architecture,
    decode,
)
from runtime.image.errors import ImageError, LayerError, errno_advice
from runtime.image.layers import store_files
from runtime.image.layers.compression import PlainReader
from runtime.image.layers.entry_names import entry_path
from runtime.image.layers.layer_reader import LayerReader, UnpackLimits
from runtime.image.layers.layer_store import Layer, LayerStore
from runtime.image.layers.pipeline import Readable

_CHUNK = 1 << 20
_ZEROS = bytes(_CHUNK)
_LONGEST_DOCUMENT = 16 << 20


OnLayer = Callable[[str, int], None]
"""Called for each layer that is added: its diff id, and its size in the archive, in bytes."""


def ignore_layer(diff_id: str, size: int) -> None:
    """Do nothing."""


class ArchivedImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image found in an archive: its layers, now in the store, and its config document's bytes.

    manifest, media_type: the archive's own manifest, if its layers are stored as they came. parent: the id of
    the image that it claims to be built from.
    """

    names: tuple[str, ...]
    layers: tuple[Layer, ...]
    config: bytes
    manifest: bytes = b""
    media_type: str = ""
    parent: str = ""


class _DockerImage(msgspec.Struct, frozen=True):
    config: str = msgspec.field(name="Config")
    layers: tuple[str, ...] | None = msgspec.field(name="Layers", default=None)
    tags: tuple[str, ...] | None = msgspec.field(name="RepoTags", default=None)
    parent: str = msgspec.field(name="Parent", default="")


def read_archive(
    source: Readable, store: LayerStore, limits: UnpackLimits, on_layer: OnLayer = ignore_layer
) -> list[ArchivedImage]:
    """Add an archive's layers to the store and return its images. The archive may be compressed.

    Raises ImageError. The images have no names yet, so nothing refers to what a failure leaves.
    """
    with store_files.scratch_directory(store.tmp) as scratch:
        try:
            members = _spread(cast("BinaryIO", PlainReader(source, limits)), scratch, limits)
            reader = _Reader(members, store, on_layer)
            if "manifest.json" in members:
                return reader.docker()
            return reader.old() if "repositories" in members and "index.json" not in members else reader.oci()
        except (msgspec.MsgspecError, tarfile.TarError, RecursionError, UnicodeError) as error:
            raise ImageError(f"archive is malformed: {error}; save the image again") from error
        except OSError as error:
            raise ImageError(f"read archive: {errno_advice(error)}") from error


def _open(stream: BinaryIO, limits: UnpackLimits) -> tarfile.TarFile:
    reader = LayerReader(stream, limits, hashed=False)
    return tarfile.open(fileobj=reader, mode="r:", encoding="utf-8", errors="surrogateescape")  # type: ignore[call-overload, no-any-return]


def _spread(stream: BinaryIO, scratch: Path, limits: UnpackLimits) -> dict[str, Path]:
    members: dict[str, Path] = {}
    links: list[tuple[str, str]] = []
    with _open(stream, limits) as tar:
        for number, member in enumerate(tar):
            if number >= limits.max_entries:
                raise LayerError(f"archive has more than {limits.max_entries} entries; refused as a bomb")
            name = entry_path(member.name)
            if member.isreg() and (content := tar.extractfile(member)) is not None:
                members[name] = target = scratch / str(number)
                with target.open("xb") as copy:
                    while data := content.read(_CHUNK):
                        if not data[0] and data == _ZEROS[: len(data)]:  # zeros become a hole
                            copy.seek(len(data), os.SEEK_CUR)
                        else:
                            copy.write(data)
                    copy.truncate()
            elif member.issym() or member.islnk():  # docker links equal layers
                parent = name.rpartition("/")[0] if member.issym() else ""
                links.append((name, _joined(parent, member.linkname)))
    for name, target_name in links:
        if target_name in members:
            members[name] = members[target_name]
    return members


def _joined(parent: str, link: str) -> str:
    parts = parent.split("/") if parent else []
    for part in link.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


class _Reader:
    """Finds the images in an archive's members."""

    def __init__(self, members: Mapping[str, Path], store: LayerStore, on_layer: OnLayer) -> None:
        self._members, self._store, self._on_layer = members, store, on_layer

    def docker(self) -> list[ArchivedImage]:
        """Return the images that manifest.json lists."""
        images = decode(self._document("manifest.json"), tuple[_DockerImage, ...])
        found = []
        for image in images:
            config = self._document(image.config)
            diff_ids = _diff_ids(config)
            paths = image.layers or ()
            layers = self._layers(paths, (None,) * len(paths), diff_ids)
            found.append(
                ArchivedImage(names=image.tags or (), layers=layers, config=config, parent=image.parent)
            )
        return found

    def old(self) -> list[ArchivedImage]:
        """Return the images of an archive of Docker before 1.10."""
        archive = OldArchive(self._members, self._document, self._store, self._on_layer)
        found = [
            ArchivedImage(names=image.names, layers=image.layers, config=image.config)
            for image in archive.images()
        ]
        for image in found:
            _diff_ids(image.config)
        return found

    def oci(self) -> list[ArchivedImage]:
        """Return the images that index.json lists; of several platforms, this machine's."""
        index = decode(self._document("index.json"), Index)
        found: dict[str, ArchivedImage] = {}
        for entry in index.manifests:
            name = entry.annotations.get(CONTAINERD_NAME) or entry.annotations.get(REF_NAME)
            names = (name,) if name else ()
            one = self._platform_of(entry)
            if one.digest in found:
                both = (*found[one.digest].names, *names)
                found[one.digest] = msgspec.structs.replace(found[one.digest], names=both)
            else:
                found[one.digest] = self._oci_image(one, names)
        return list(found.values())

    def _platform_of(self, entry: Descriptor) -> Descriptor:
        if entry.media_type in MANIFESTS:
            return entry
        if entry.media_type not in INDEXES:
            raise ImageError(f"archive holds a {entry.media_type}, which is not an image; save an image")
        machine = architecture()
        for manifest in decode(self._blob(entry), Index).manifests:
            if (manifest.platform.get("os"), manifest.platform.get("architecture")) == ("linux", machine):
                return manifest
        raise ImageError(f"archive holds no image for linux/{machine}; save that platform's")

    def _oci_image(self, entry: Descriptor, names: tuple[str, ...]) -> ArchivedImage:
        data = self._blob(entry)
        manifest = decode(data, Manifest)
        config = self._blob(manifest.config)
        diff_ids = _diff_ids(config)
        for layer in manifest.layers:
            self._check_size(layer)
        digests = tuple(layer.digest for layer in manifest.layers)
        paths = tuple(self._blob_name(digest) for digest in digests)
        layers = self._layers(paths, digests, diff_ids)
        kind = manifest.media_type or MANIFEST
        return ArchivedImage(names=names, layers=layers, config=config, manifest=data, media_type=kind)

    def _layers(
        self, paths: tuple[str, ...], digests: tuple[str | None, ...], diff_ids: tuple[str, ...]
    ) -> tuple[Layer, ...]:
        if len(paths) != len(diff_ids):
            raise ImageError(
                "archive's config and manifest list unequal numbers of layers; save the image again"
            )
        rows = zip(paths, digests, diff_ids, strict=True)
        return tuple(self._layer(path, digest, diff_id) for path, digest, diff_id in rows)

    def _layer(self, path: str, digest: str | None, diff_id: str) -> Layer:
        if path not in self._members:
            raise ImageError(f"archive has no {path}, which its manifest lists; save the image again")
        known = self._store.known_layer(diff_id)
        if known is not None and digest in (None, known.digest):
            return known
        with self._members[path].open("rb") as stream:
            self._on_layer(diff_id, self._members[path].stat().st_size)
            return self._store.add_stream(stream, digest=digest, diff_id=diff_id)

    def _document(self, name: str) -> bytes:
        path = self._members.get(name)
        if path is None:
            raise ImageError(f"archive has no {name}, which its documents refer to; save the image again")
        if path.stat().st_size > _LONGEST_DOCUMENT:
            raise ImageError(f"archive's {name} is too long for a document; refused")
        return path.read_bytes()

    def _blob_name(self, digest: str) -> str:
        return f"blobs/sha256/{self._store.blob_path(digest).name}"

    def _blob(self, wanted: Descriptor) -> bytes:
        data = self._document(self._blob_name(wanted.digest))
        if self._store.put_blob(data) != wanted.digest:
            raise ImageError(
                f"archive's blob {wanted.digest} does not have that digest; save the image again"
            )
        self._check_size(wanted)
        return data

    def _check_size(self, wanted: Descriptor) -> None:
        path = self._members.get(self._blob_name(wanted.digest))
        if path is not None and path.stat().st_size != wanted.size:
            raise ImageError(
                f"archive's blob {wanted.digest} has {path.stat().st_size} bytes, not {wanted.size} as its "
                "descriptor says; save the image again"
            )


def _diff_ids(config: bytes) -> tuple[str, ...]:
    document = decode(config, ImageConfig)
    if document.os not in ("", "linux"):
        raise ImageError(f"image operating system {document.os[:40]!r} cannot be used on this platform")
    return document.rootfs.diff_ids
