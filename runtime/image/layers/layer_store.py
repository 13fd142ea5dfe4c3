"""Blobs and unpacked layers on disk: how they are added, and how changes to them are found.

blobs/sha256/<hex>        every document and compressed layer, named by its digest
layers/<diff id>/tree     a layer unpacked once, in overlay form, shared by all containers
layers/<diff id>/layer.json   its record, see LayerRecord
partial/<hex>.part        the beginning of a blob whose receiving process died
tmp/<owner>.<n>           work in progress; renamed into place when complete
"""

from __future__ import annotations

import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import msgspec

from runtime.image.documents import Descriptor, digest_of
from runtime.image.errors import ImageError, LayerError, errno_advice
from runtime.image.layers import store_files
from runtime.image.layers.blob_tee import BlobTee
from runtime.image.layers.document_cache import DocumentCache
from runtime.image.layers.layer_reader import LayerReader, UnpackLimits
from runtime.image.layers.metadata import is_opaque
from runtime.image.layers.pack import END_MARK, Compression, Skip, keep_all, tar_pieces
from runtime.image.layers.partial_blobs import PartialBlobs, scratch_name
from runtime.image.layers.pipeline import PieceReader, Readable, read_ahead
from runtime.image.layers.tree import file_digest, tree_digest
from runtime.image.layers.unpack import UnpackResult, unpack
from runtime.spawn.durable import sync_path

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
    """layer.json. `hides_all`: its root is opaque, so it hides all layers below.

    bytes: of the files in it; tar_bytes: of its uncompressed tar (0: unknown); blob: the one it came from.
    tree: digest of the unpacked tree, "" until one is needed: hashing would double the cost of a pull.

    `boot`: the boot in which the tree was written or last checked. Trees are not flushed to disk one by one,
    since that waits for all writes of the file system. One from before a reboot is hashed once before it is
    used again, or unpacked again if there is no digest to compare with.
    """

    boot: str
    tree: str = ""
    entries: int
    bytes: int
    hides_all: bool = False
    tar_bytes: int = 0
    blob: Descriptor | None = None


class UnpackedLayer(NamedTuple):
    """An unpacked layer: its directory and its record."""

    tree: Path
    record: LayerRecord


class LayerStore:
    """The lower half of ImageStore: content without names. Several processes may use it at once."""

    def __init__(self, root: Path, limits: UnpackLimits) -> None:
        self.root, self._limits = root, limits
        self._own_limits = msgspec.structs.replace(limits, max_ratio=1 << 40)
        self.blobs, self.layers, self.tmp = root / "blobs/sha256", root / "layers", root / "tmp"
        self.partials = PartialBlobs(root / "partial")
        self.documents = DocumentCache()
        self._settling, self._unsettled = threading.Lock(), False
        try:
            for path in (self.blobs, self.layers, self.tmp):
                path.mkdir(parents=True, exist_ok=True)
            root.chmod(0o700)  # setuid programs of an image must not be reachable by users of the host
        except OSError as error:
            raise ImageError(f"open image store {root}: {errno_advice(error)}") from error

    def blob_path(self, digest: str) -> Path:
        """Return the path of a blob. ImageError when `digest` is not a sha256 digest."""
        algorithm, _, value = digest.partition(":")
        if algorithm != "sha256" or len(value) != 64 or value.strip("0123456789abcdef"):
            raise ImageError(f"digest {digest!r} is not supported; only sha256:<64 hex digits> is")
        return self.blobs / value

    def drop_blob(self, path: Path) -> None:
        """Remove a blob, also from the cache."""
        path.unlink(missing_ok=True)
        self.documents.forget(f"sha256:{path.name}")

    def layer_path(self, diff_id: str) -> Path:
        """Return the directory of an unpacked layer (its content is in `tree` below)."""
        return self.layers / self.blob_path(diff_id).name

    def put_blob(self, data: bytes) -> str:
        """Store a document; return its digest. Raises ImageError."""
        digest = digest_of(data)
        target = self.blob_path(digest)
        if target.exists():
            self._unsettled = True  # its maker may not have called settle() yet
            return digest
        with store_files.scratch_directory(self.tmp) as scratch:
            temporary = scratch / "blob"
            try:
                temporary.write_bytes(data)
                self._place_file(temporary, target)
            except OSError as error:
                raise ImageError(f"store document {digest}: {errno_advice(error)}") from error
        return digest

    def read_blob(self, digest: str) -> bytes:
        """Read a document and check it against its digest."""
        path = self.blob_path(digest)
        try:
            data = path.read_bytes()
        except OSError as error:
            raise ImageError(f"read blob {path}: {errno_advice(error)}") from error
        if digest_of(data) != digest:
            raise ImageError(
                f"blob {path} is corrupt: its bytes do not have the digest {digest}; import again"
            )
        return data

    def has_blob(self, digest: str) -> bool:
        """Say whether a blob is in the store. Outside adding() it may be removed at any moment."""
        return self.blob_path(digest).is_file()

    def open_blob(self, digest: str) -> BinaryIO:
        """Open a blob for reading, compressed as it came. ImageError when it is missing."""
        path = self.blob_path(digest)
        try:
            return path.open("rb")
        except OSError as error:
            raise ImageError(f"read blob {path}: {errno_advice(error)}") from error

    def known_layer(self, diff_id: str) -> Layer | None:
        """Return the complete layer with this content, in whatever compression, else None.

        Call it within ImageStore.adding(), and stay there until the image that uses the layer is added.
        """
        record = self._record(diff_id)
        if record is None or record.blob is None or not self.has_blob(record.blob.digest):
            return None
        return _layer(record.blob, diff_id)

    def at_hand(self, layer: Layer) -> Layer:
        """Return the layer, or the blob of the same content that is in the store when its own is not."""
        return layer if self.has_blob(layer.digest) else self.known_layer(layer.diff_id) or layer

    def _record(self, diff_id: str) -> LayerRecord | None:
        try:
            note = (self.layer_path(diff_id) / "layer.json").read_bytes()
            return msgspec.json.decode(note, type=LayerRecord)
        except (OSError, msgspec.MsgspecError):
            return None

    # ---- layers in -------------------------------------------------------------------------------------

    def add_directory(self, source: Path, compression: Compression = "zstd") -> Layer:
        """Store the directory `source` (plain or in overlay form) as a layer, and unpack it."""
        return self.add_stream(PieceReader(tar_pieces(str(source))), compression=compression)

    def add_changes(self, source: Path, skip: Skip = keep_all) -> Layer | None:
        """Store what is below `source`, without its root and skipped paths; None when there is nothing."""
        pieces = tar_pieces(str(source), skip=skip, root=False)
        first = next(pieces)
        if first == END_MARK:
            return None
        return self.add_stream(PieceReader(itertools.chain((first,), pieces)))

    def add_stream(
        self,
        source: Readable,
        *,
        digest: str | None = None,
        diff_id: str | None = None,
        media_type: str | None = None,
        compression: Compression = "zstd",
    ) -> Layer:
        """Store a layer's tar (plain, gzip or zstd) and unpack it as it streams.

        `digest` and `diff_id`, when given, are checked. With `digest` the bytes are stored as they came,
        without it a plain tar is compressed. media_type: the manifest's, instead of OCI's. LayerError for a
        hostile or corrupt layer, of which nothing is kept.
        """
        with store_files.scratch_directory(self.tmp) as scratch:
            blob, work = scratch / scratch_name(digest), scratch / "layer"
            try:
                with blob.open("xb") as file:
                    tee = BlobTee(
                        source, store_files.EarlyWriter(file), compression if digest is None else "none"
                    )
                    reader, record = self._unpack_to(tee, work, self._limits, lenient=diff_id is not None)
                    layer = _layer(tee.descriptor(reader), reader.diff_id)
                _check("layer's bytes", reader.digest, digest)
                _check("layer's tar", reader.diff_id, diff_id)
                self._place_file(blob, self.blob_path(layer.digest))
                record = msgspec.structs.replace(record, blob=layer.descriptor)
                self._place_layer(work, record, layer.diff_id)
            except OSError as error:
                raise ImageError(f"store layer: {errno_advice(error)}") from error
        return msgspec.structs.replace(layer, media_type=media_type) if media_type else layer

    def unpacked(self, layer: Layer) -> UnpackedLayer:
        """Return the layer in overlay form, unpacked again if it is missing or a crash damaged it."""
        home, layer = self.layer_path(layer.diff_id), self.at_hand(layer)
        if home.is_dir():
            record = self._survivor(home)
            if record is not None:
                return UnpackedLayer(home / "tree", record)
        with store_files.scratch_directory(self.tmp) as scratch:
            path = self.blob_path(layer.digest)
            try:
                with path.open("rb") as source:
                    reader, record = self._unpack_to(
                        source, scratch / "layer", self._own_limits, lenient=True
                    )
                _check(f"blob {path}", reader.digest, layer.digest)
                _check(f"tar in blob {path}", reader.diff_id, layer.diff_id)
                record = msgspec.structs.replace(record, blob=layer.descriptor)
                self._place_layer(scratch / "layer", record, layer.diff_id)
            except OSError as error:
                raise ImageError(f"unpack blob {path}: {errno_advice(error)}") from error
        return UnpackedLayer(home / "tree", record)

    def unpacked_bytes(self, diff_id: str) -> int:
        """Return the bytes of the files in an unpacked layer, 0 when it is not unpacked."""
        record = self._record(diff_id)
        return record.bytes if record else 0

    def tar_bytes(self, layer: Layer) -> int:
        """Return the size of the layer's uncompressed tar; unpack it to count if the size is unknown."""
        record = self._record(layer.diff_id)
        return (record.tar_bytes if record else 0) or sum(map(len, self.read_tar(layer)))

    def read_tar(self, layer: Layer) -> Iterator[bytes]:
        """Yield the layer's uncompressed tar; its digest is checked at the end."""
        with self.open_blob(self.at_hand(layer).digest) as blob:
            reader = LayerReader(blob, self._own_limits)
            while data := reader.read(_CHUNK):
                yield data
        _check(f"tar in blob {layer.digest}", reader.diff_id, layer.diff_id)

    def _survivor(self, home: Path) -> LayerRecord | None:
        """Return the record of a layer that can be trusted; discard one that a crash damaged."""
        try:
            record = msgspec.json.decode((home / "layer.json").read_bytes(), type=LayerRecord)
            if record.boot == store_files.boot_id():
                return record
            if record.tree and tree_digest(str(home / "tree")) == record.tree:
                return self._note(home, msgspec.structs.replace(record, boot=store_files.boot_id()))
        except (OSError, msgspec.MsgspecError, ImageError):
            pass
        if store_files.in_use(home):
            raise ImageError(f"layer {home} is damaged and in use; stop its containers and try again")
        self.discard(home)
        return None

    def _note(self, home: Path, record: LayerRecord) -> LayerRecord:
        with store_files.scratch_directory(self.tmp) as scratch:
            store_files.write_atomically(home / "layer.json", msgspec.json.encode(record), scratch)
        return record

    def discard(self, path: Path) -> None:
        """Remove a layer. Renamed first, so that a kill midway does not leave half of it under its name."""
        if path.exists():
            with store_files.scratch_directory(self.tmp) as scratch:
                path.rename(scratch / path.name)

    def _unpack_to(
        self, source: Readable, work: Path, limits: UnpackLimits, *, lenient: bool
    ) -> tuple[LayerReader, LayerRecord]:
        """Unpack a layer. lenient: its digest is known and shows by itself whether bytes are missing."""
        tree = work / "tree"
        tree.mkdir(parents=True)
        tree.chmod(0o755)

        def unpacking(raw: BinaryIO) -> tuple[LayerReader, UnpackResult]:
            reader = LayerReader(raw, limits, lenient=lenient)
            return reader, unpack(reader, str(tree), limits)

        reader, result = read_ahead(source, unpacking)
        record = LayerRecord(
            boot=store_files.boot_id(),
            entries=result.entries,
            bytes=result.bytes,
            hides_all=is_opaque(str(tree)),
            tar_bytes=reader.tar_size,
        )
        return reader, record

    # ---- placement -------------------------------------------------------------------------------------

    def _place_file(self, temporary: Path, target: Path) -> None:
        self._unsettled = True  # even if it exists: its maker may not have called settle() yet
        if target.exists():
            return
        fd = os.open(temporary, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fchmod(fd, 0o444)
            os.fsync(fd)
        finally:
            os.close(fd)
        temporary.replace(target)
        self._unsettled = True

    def _place_layer(self, work: Path, record: LayerRecord, diff_id: str) -> None:
        target = self.layer_path(diff_id)
        if (target / "layer.json").is_file():
            return
        (work / "layer.json").write_bytes(msgspec.json.encode(record))
        try:
            work.rename(target)
        except OSError:
            if not (target / "layer.json").is_file():  # else another process was first
                raise
        self._unsettled = True

    def settle(self) -> None:
        """Make all placed names durable, before a document that lists them is written."""
        with self._settling:
            if self._unsettled:
                self._unsettled = False
                sync_path(self.blobs)
                sync_path(self.layers)

    # ---- checks ----------------------------------------------------------------------------------------

    def verify_layer(self, layer: Layer) -> None:
        """Hash blob and unpacked tree again; ImageError names what changed."""
        layer = self.at_hand(layer)
        path = self.blob_path(layer.digest)
        try:
            _check(f"blob {path}", file_digest(str(path)), layer.digest)
        except OSError as error:
            raise ImageError(f"read blob {path}: {errno_advice(error)}") from error
        tree, record = self.unpacked(layer)
        expected = record.tree or self._tree_of(layer)
        _check(f"unpacked layer {tree}", tree_digest(str(tree)), expected)
        if not record.tree:
            self._note(tree.parent, msgspec.structs.replace(record, tree=expected))

    def _tree_of(self, layer: Layer) -> str:
        """Return the digest that the layer's tree must have, from its blob."""
        with store_files.scratch_directory(self.tmp) as scratch, self.open_blob(layer.digest) as source:
            self._unpack_to(source, scratch / "layer", self._own_limits, lenient=True)
            return tree_digest(str(scratch / "layer/tree"))


def _layer(blob: Descriptor, diff_id: str) -> Layer:
    return Layer(digest=blob.digest, size=blob.size, media_type=blob.media_type, diff_id=diff_id)


def _check(what: str, found: str, expected: str | None) -> None:
    if expected is not None and found != expected:
        raise LayerError(
            f"{what} has the digest {found}, not {expected}; it was changed, get the image again"
        )
