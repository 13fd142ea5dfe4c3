"""Blobs and unpacked layers on disk: how bytes get in, and how they are known to be unchanged.

blobs/sha256/<hex>        every document and compressed layer, named by its digest
layers/<diff id>/tree     a layer unpacked once, in overlay form, shared by all containers
layers/<diff id>/layer.json   its tree digest, taken when it was unpacked
tmp/<owner>.<n>           work in progress; renamed into place when complete
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import BinaryIO

import msgspec

from runtime.image import files
from runtime.image.documents import LAYER, MEDIA_TYPE_OF, Descriptor
from runtime.image.errors import ImageError, LayerError, os_cause
from runtime.image.metadata import is_opaque
from runtime.image.pack import Compression, LayerWriter, pack
from runtime.image.streams import LayerReader, UnpackLimits
from runtime.image.tree import file_digest, tree_digest
from runtime.image.unpack import unpack

_CHUNK = 1 << 20


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """A layer in the store: its blob (`digest`, `size`, `media_type`) and the digest of its tar."""

    digest: str
    size: int
    media_type: str
    diff_id: str

    @property
    def descriptor(self) -> Descriptor:
        """The layer as a manifest lists it."""
        return Descriptor(media_type=self.media_type, digest=self.digest, size=self.size)


class LayerRecord(msgspec.Struct, frozen=True, kw_only=True):
    """layer.json. `hides_all`: its root is opaque, so nothing of the layers below is seen."""

    tree: str
    entries: int
    bytes: int
    hides_all: bool = False


class LayerStore:
    """The lower half of ImageStore: content without names. Safe for several processes at once."""

    def __init__(self, root: Path, limits: UnpackLimits) -> None:
        self.root, self._limits = root, limits
        self.blobs, self.layers, self.tmp = root / "blobs/sha256", root / "layers", root / "tmp"
        try:
            for path in (self.blobs, self.layers, self.tmp):
                path.mkdir(parents=True, exist_ok=True)
            root.chmod(0o700)  # setuid programs of an image must not be reachable by users of the host
        except OSError as error:
            raise ImageError(f"open image store {root}: {os_cause(error)}") from error

    def blob_path(self, digest: str) -> Path:
        """Where the blob `digest` lies; ImageError when that is no sha256 digest."""
        algorithm, _, value = digest.partition(":")
        if algorithm != "sha256" or len(value) != 64 or value.strip("0123456789abcdef"):
            raise ImageError(f"digest {digest!r} is not supported; only sha256:<64 hex digits> is")
        return self.blobs / value

    def layer_path(self, diff_id: str) -> Path:
        """Where the layer `diff_id` is unpacked (its content is in `tree` below)."""
        return self.layers / self.blob_path(diff_id).name

    def put_blob(self, data: bytes) -> str:
        """Store a document; return its digest."""
        with files.scratch_directory(self.tmp) as scratch:
            temporary = scratch / "blob"
            temporary.write_bytes(data)
            digest = file_digest(str(temporary))
            self._place_file(temporary, self.blob_path(digest))
        return digest

    def read_blob(self, digest: str) -> bytes:
        """Read a document and check it against its digest."""
        path = self.blob_path(digest)
        try:
            if file_digest(str(path)) != digest:
                raise ImageError(
                    f"blob {path} is corrupt: its bytes do not have the digest {digest}; import again"
                )
            return path.read_bytes()
        except OSError as error:
            raise ImageError(f"read blob {path}: {os_cause(error)}") from error

    # ---- layers in -------------------------------------------------------------------------------------

    def add_directory(self, source: Path, compression: Compression = "zstd") -> Layer:
        """Store the directory `source` (plain or in overlay form) as a layer, and unpack it."""
        with files.scratch_directory(self.tmp) as scratch:
            blob = scratch / "blob"
            try:
                with blob.open("xb") as target:
                    packed = pack(str(source), target, compression)
            except OSError as error:
                raise ImageError(f"store layer {source}: {os_cause(error)}") from error
            layer = Layer(
                digest=packed.digest,
                size=packed.size,
                media_type=MEDIA_TYPE_OF[compression],
                diff_id=packed.diff_id,
            )
            self._place_file(blob, self.blob_path(layer.digest))
        self.unpacked(layer)
        return layer

    def add_stream(self, source: BinaryIO, *, digest: str | None = None, diff_id: str | None = None) -> Layer:
        """Store a layer's tar (plain, gzip or zstd), unpacking it as it passes.

        `digest` and `diff_id`, when given, must be those of the bytes. A plain tar without `digest` is
        compressed. LayerError for a hostile or corrupt layer; nothing of it is kept then.
        """
        with files.scratch_directory(self.tmp) as scratch:
            blob, work = scratch / "blob", scratch / "layer"
            try:
                with blob.open("xb") as copy:
                    reader, record = self._unpack_to(source, work, copy)
                _check("layer's bytes", reader.digest, digest)
                _check("layer's tar", reader.diff_id, diff_id)
                layer = Layer(
                    digest=reader.digest,
                    size=reader.size,
                    media_type=MEDIA_TYPE_OF[reader.compression],
                    diff_id=reader.diff_id,
                )
                if layer.media_type == LAYER and digest is None:
                    layer = self._compress(blob, layer.diff_id)
                self._place_file(blob, self.blob_path(layer.digest))
                self._place_layer(work, record, layer.diff_id)
            except OSError as error:
                raise ImageError(f"store layer: {os_cause(error)}") from error
        return layer

    def _compress(self, blob: Path, diff_id: str) -> Layer:
        small = blob.with_name("small")
        with blob.open("rb") as source, small.open("xb") as target:
            writer = LayerWriter(target, "zstd")
            while data := source.read(_CHUNK):
                writer.write(data)
            packed = writer.finish(end_mark=False)
        small.replace(blob)
        return Layer(
            digest=packed.digest, size=packed.size, media_type=MEDIA_TYPE_OF["zstd"], diff_id=diff_id
        )

    def unpacked(self, layer: Layer) -> Path:
        """Return the layer's directory in overlay form, unpacking its blob when it is not there."""
        tree = self.layer_path(layer.diff_id) / "tree"
        if tree.is_dir():
            return tree
        with files.scratch_directory(self.tmp) as scratch:
            path = self.blob_path(layer.digest)
            try:
                with path.open("rb") as source:
                    reader, record = self._unpack_to(source, scratch / "layer", None)
                _check(f"blob {path}", reader.digest, layer.digest)
                _check(f"tar in blob {path}", reader.diff_id, layer.diff_id)
                self._place_layer(scratch / "layer", record, layer.diff_id)
            except OSError as error:
                raise ImageError(f"unpack blob {path}: {os_cause(error)}") from error
        return tree

    def _unpack_to(
        self, source: BinaryIO, work: Path, copy: BinaryIO | None
    ) -> tuple[LayerReader, LayerRecord]:
        tree = work / "tree"
        tree.mkdir(parents=True)
        tree.chmod(0o755)
        reader = LayerReader(source, self._limits, copy)
        result = unpack(reader, str(tree), self._limits)
        record = LayerRecord(
            tree=tree_digest(str(tree)),
            entries=result.entries,
            bytes=result.bytes,
            hides_all=is_opaque(str(tree)),
        )
        return reader, record

    # ---- placement -------------------------------------------------------------------------------------

    def _place_file(self, temporary: Path, target: Path) -> None:
        if target.exists():
            return
        fd = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fchmod(fd, 0o444)
            os.fsync(fd)
        finally:
            os.close(fd)
        temporary.replace(target)
        files.sync_directory(target.parent)

    def _place_layer(self, work: Path, record: LayerRecord, diff_id: str) -> None:
        target = self.layer_path(diff_id)
        (work / "layer.json").write_bytes(msgspec.json.encode(record))
        files.sync_file_system(work)
        try:
            work.rename(target)
        except OSError:
            if not (target / "layer.json").is_file():  # else another process was first, with the same content
                raise
        files.sync_directory(self.layers)

    # ---- checks ----------------------------------------------------------------------------------------

    def record(self, diff_id: str) -> LayerRecord:
        """Return what was noted when the layer was unpacked."""
        path = self.layer_path(diff_id) / "layer.json"
        try:
            return msgspec.json.decode(path.read_bytes(), type=LayerRecord)
        except (OSError, msgspec.MsgspecError) as error:
            raise ImageError(f"read {path}: {error}; remove the image and import it again") from error

    def verify_layer(self, layer: Layer) -> None:
        """Hash blob and unpacked tree again; ImageError names what changed."""
        path = self.blob_path(layer.digest)
        try:
            _check(f"blob {path}", file_digest(str(path)), layer.digest)
        except OSError as error:
            raise ImageError(f"read blob {path}: {os_cause(error)}") from error
        tree = self.layer_path(layer.diff_id) / "tree"
        if tree.is_dir():
            _check(f"unpacked layer {tree}", tree_digest(str(tree)), self.record(layer.diff_id).tree)


def _check(what: str, found: str, expected: str | None) -> None:
    if expected is not None and found != expected:
        raise LayerError(
            f"{what} has the digest {found}, not {expected}; it was changed, get the image again"
        )
