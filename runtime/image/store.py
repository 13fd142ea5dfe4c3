"""Named images in an OCI image layout: create, resolve, verify, flatten, remove, list."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import msgspec

from runtime.image import archive, files, flatten
from runtime.image.documents import (
    CONFIG,
    MANIFEST,
    REF_NAME,
    Descriptor,
    Execution,
    ImageConfig,
    Index,
    Manifest,
    RootFs,
    encode,
)
from runtime.image.errors import ImageError, os_cause
from runtime.image.layers import Layer, LayerStore
from runtime.image.names import normal_reference
from runtime.image.pack import Compression
from runtime.image.streams import UnpackLimits

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """A resolved image. `digest` is its manifest's; `layer_dirs` are in overlay form, lowest first."""

    reference: str
    digest: str
    config: ImageConfig
    layers: tuple[Layer, ...]
    layer_dirs: tuple[Path, ...]

    @property
    def execution(self) -> Execution:
        """What the image asks to be run with."""
        return self.config.config or Execution()

    @property
    def size(self) -> int:
        """Bytes of its compressed layers."""
        return sum(layer.size for layer in self.layers)


class ImageStore:
    """Images below `root`, which is a valid OCI image layout (skopeo and podman read it).

    Every method leaves the store usable when it fails, also for want of disk space, and several processes may
    work in one store at once. All raise ImageError.
    """

    def __init__(self, root: Path, limits: UnpackLimits | None = None) -> None:
        self.root = Path(root)
        self._limits = limits or UnpackLimits()
        self.content = LayerStore(self.root, self._limits)
        self._lock, self._content_lock = self.root / "lock", self.root / "content.lock"
        layout = self.root / "oci-layout"
        if not layout.exists():
            with files.scratch_directory(self.content.tmp) as scratch:
                files.write_atomically(layout, b'{"imageLayoutVersion":"1.0.0"}', scratch)

    # ---- in --------------------------------------------------------------------------------------------

    def add_layer(self, source: Path | BinaryIO, compression: Compression = "zstd") -> Layer:
        """Store a layer from a root directory, a tar file, or a tar stream (plain, gzip or zstd)."""
        if not isinstance(source, Path):
            return self.content.add_stream(source)
        if source.is_dir():
            return self.content.add_directory(source, compression)
        try:
            with source.open("rb") as stream:
                return self.content.add_stream(stream)
        except OSError as error:
            raise ImageError(f"read {source}: {os_cause(error)}") from error

    def create(
        self, reference: str, layers: Sequence[Layer | Path | BinaryIO], config: ImageConfig | None = None
    ) -> Image:
        """Make an image of `layers` (lowest first; paths and streams are added) and give it a name.

        `config` needs no rootfs: it is filled in. An image of that name loses it.
        """
        document = config or ImageConfig()
        machine = platform.machine()
        with self._adding():
            added = tuple(item if isinstance(item, Layer) else self.add_layer(item) for item in layers)
            document = msgspec.structs.replace(
                document,
                architecture=document.architecture or _ARCHITECTURES.get(machine, machine),
                rootfs=RootFs(diff_ids=tuple(layer.diff_id for layer in added)),
            )
            return self.register(reference, added, encode(document))

    def register(self, reference: str, layers: Sequence[Layer], config: bytes) -> Image:
        """Name an image whose layers are here already; `config` are the bytes of its config document."""
        name = normal_reference(reference)
        for layer in layers:
            if not self.content.blob_path(layer.digest).exists():
                raise ImageError(f"layer {layer.digest} is not in {self.root} (any more); add it again")
        described = Descriptor(media_type=CONFIG, digest=self.content.put_blob(config), size=len(config))
        manifest = encode(Manifest(config=described, layers=tuple(layer.descriptor for layer in layers)))
        digest = self.content.put_blob(manifest)
        entry = Descriptor(
            media_type=MANIFEST, digest=digest, size=len(manifest), annotations={REF_NAME: name}
        )
        with files.locked(self._lock):
            others = tuple(old for old in self._index().manifests if _name(old) != name)
            self._write_index((*others, entry))
        return self._load(entry)

    def import_archive(self, source: Path, reference: str | None = None) -> list[Image]:
        """Take in the images of a docker or OCI archive, or OCI layout directory, under their own names.

        With `reference`, the archive must hold one image, which gets that name.
        """
        images: list[Image] = []
        with self._adding():
            found = archive.read_archive(source, self.content, self._limits)
            if reference is not None and len(found) != 1:
                raise ImageError(f"archive {source} holds {len(found)} images; import it without a name")
            for item in found:
                names = item.names if reference is None else (reference,)
                if not names:
                    raise ImageError(f"archive {source} holds an image without a name; give one")
                images.extend(self.register(name, item.layers, item.config) for name in names)
        return images

    def _adding(self) -> AbstractContextManager[None]:
        """While held, no process removes content: what was added has no name yet that would protect it."""
        return files.locked(self._content_lock, shared=True)

    # ---- out -------------------------------------------------------------------------------------------

    def resolve(self, reference: str) -> Image:
        """Find an image by name, digest, or a digest's first 6 or more hex digits."""
        return self._load(self._find(reference))

    def list(self) -> Sequence[Image]:
        """All images, by name."""
        return [self._load(entry) for entry in sorted(self._index().manifests, key=_name)]

    def lease(self, image: Image) -> files.Lease:
        """Keep the image's layers from being removed until the lease is closed or this process ends."""
        return files.Lease(tuple(path.parent for path in image.layer_dirs))

    def verify(self, reference: str) -> Image:
        """Hash every blob and every unpacked layer again; ImageError names the first that changed."""
        image = self.resolve(reference)
        for layer in image.layers:
            self.content.verify_layer(layer)
        return image

    def flatten(self, reference: str, target: Path) -> None:
        """Write the image's content as one plain directory, as a container would see it."""
        flatten.flatten(self.resolve(reference).layer_dirs, target)

    # ---- away ------------------------------------------------------------------------------------------

    def remove(self, reference: str) -> None:
        """Remove a name and what no other image uses; ImageError while a container runs from it.

        A damaged image goes too; what it consists of cannot be told then, and is left to prune().
        """
        with files.locked(self._content_lock), files.locked(self._lock):
            entry = self._find(reference)
            left = tuple(old for old in self._index().manifests if old != entry)
            try:
                layers, blobs = self._used((entry,))
                kept_layers, kept_blobs = self._used(left)
            except ImageError:
                self._write_index(left)
                return
            loose = [self.content.layer_path(diff_id) for diff_id in layers - kept_layers]
            for path in loose:
                if path.exists() and files.in_use(path):
                    raise ImageError(f"remove {reference}: a running container uses it; stop that first")
            self._write_index(left)
            for path in loose:
                self.content.discard(path)
            for digest in blobs - kept_blobs:
                self.content.blob_path(digest).unlink(missing_ok=True)

    def prune(self) -> int:
        """Remove content without a name (left by failed or killed imports); return how many things went."""
        with files.locked(self._content_lock), files.locked(self._lock):
            layers, blobs = self._used(self._index().manifests)
            kept = {self.content.layer_path(diff_id) for diff_id in layers}
            loose = [p for p in self.content.layers.iterdir() if p not in kept and not files.in_use(p)]
            for path in loose:
                self.content.discard(path)
            kept_files = {self.content.blob_path(digest) for digest in blobs}
            loose_blobs = [path for path in self.content.blobs.iterdir() if path not in kept_files]
            for path in loose_blobs:
                path.unlink(missing_ok=True)
        return len(loose) + len(loose_blobs)

    def sweep(self) -> tuple[Path, ...]:
        """Remove the half-done work of dead processes; return what was removed."""
        return files.sweep_scratch(self.content.tmp)

    # ---- documents -------------------------------------------------------------------------------------

    def _index(self) -> Index:
        path = self.root / "index.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=Index)
        except FileNotFoundError:
            return Index()
        except (OSError, msgspec.MsgspecError) as error:
            raise ImageError(
                f"read {path}: {error}; restore it, or move the store away and import again"
            ) from error

    def _write_index(self, manifests: tuple[Descriptor, ...]) -> None:
        try:
            with files.scratch_directory(self.content.tmp) as scratch:
                files.write_atomically(self.root / "index.json", encode(Index(manifests=manifests)), scratch)
        except OSError as error:
            raise ImageError(f"write {self.root}/index.json: {os_cause(error)}") from error

    def _find(self, reference: str) -> Descriptor:
        entries = self._index().manifests
        value = reference.removeprefix("sha256:")
        if len(value) >= 6 and not value.strip("0123456789abcdef"):
            matches = [entry for entry in entries if entry.digest.startswith(f"sha256:{value}")]
            if len({entry.digest for entry in matches}) > 1:
                raise ImageError(f"image {reference} is ambiguous; give more digits")
            if matches:
                return matches[0]
        name = normal_reference(reference)
        for entry in entries:
            if _name(entry) == name:
                return entry
        raise ImageError(f"image {name} is not in {self.root}; nn images lists them, nn import adds one")

    def _documents(self, entry: Descriptor) -> tuple[Manifest, ImageConfig]:
        try:
            manifest = msgspec.json.decode(self.content.read_blob(entry.digest), type=Manifest)
            config = msgspec.json.decode(self.content.read_blob(manifest.config.digest), type=ImageConfig)
        except msgspec.MsgspecError as error:
            raise ImageError(
                f"image {_name(entry)} has a malformed document: {error}; import it again"
            ) from error
        if len(config.rootfs.diff_ids) != len(manifest.layers):
            raise ImageError(
                f"image {_name(entry)} names unequal numbers of layers and digests; import it again"
            )
        return manifest, config

    def _load(self, entry: Descriptor) -> Image:
        manifest, config = self._documents(entry)
        layers = _layers(manifest, config)
        unpacked = [self.content.unpacked(layer) for layer in layers]
        opaque = [number for number, one in enumerate(unpacked) if one.record.hides_all]
        dirs = [one.tree for one in unpacked[opaque[-1] if opaque else 0 :]]
        return Image(
            reference=_name(entry), digest=entry.digest, config=config, layers=layers, layer_dirs=tuple(dirs)
        )

    def _used(self, entries: Sequence[Descriptor]) -> tuple[set[str], set[str]]:
        layers: set[str] = set()
        blobs: set[str] = set()
        for entry in entries:
            layers.update(self._documents(entry)[1].rootfs.diff_ids)
            blobs |= self._blobs(entry)
        return layers, blobs

    def _blobs(self, entry: Descriptor) -> set[str]:
        manifest, _ = self._documents(entry)
        return {entry.digest, manifest.config.digest, *(layer.digest for layer in manifest.layers)}


def _name(entry: Descriptor) -> str:
    return entry.annotations.get(REF_NAME, entry.digest)


def _layers(manifest: Manifest, config: ImageConfig) -> tuple[Layer, ...]:
    pairs = zip(manifest.layers, config.rootfs.diff_ids, strict=True)
    return tuple(
        Layer(digest=blob.digest, size=blob.size, media_type=blob.media_type, diff_id=diff_id)
        for blob, diff_id in pairs
    )
