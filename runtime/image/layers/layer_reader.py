"""Read a layer's tar from a stream: decompress, hash compressed and plain bytes, enforce limits."""

from __future__ import annotations

from typing import BinaryIO, Protocol, cast

import msgspec
from isal import isal_zlib

from runtime.image.errors import LayerError
from runtime.image.layers.pipeline import Hash

_CHUNK = 1 << 20
# One piece of input may grow to 128 MiB (zstd: a 4-byte block of 128 KiB; gzip: 33 MiB) before a limit is
# checked; after one that grew a lot, smaller pieces follow.
_PIECES = {"gzip": 32 << 10, "zstd": 4096}
_SMALLEST = 256
MAGIC = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\xfd7zXZ\0": "xz", b"BZh": "bzip2"}
"""First bytes of compressed streams."""
_UNUSED = ("xz", "bzip2")
_LONGEST_HEADER = 1 << 22
_BLOCK = 512
_END = 4 * _BLOCK
"""Padding of the last block and an end mark."""


class UnpackLimits(msgspec.Struct, frozen=True, kw_only=True):
    """When a layer is refused as a decompression bomb: bytes of its tar or files, and number of its entries.

    max_ratio: of tar to compressed bytes; checked once the tar is longer than ratio_from.
    """

    max_bytes: int = 64 << 30
    max_entries: int = 4_000_000
    max_ratio: int = 200
    ratio_from: int = 1 << 30

    def check_bytes(self, size: int) -> None:
        """Refuse more bytes than max_bytes: raises LayerError."""
        if size > self.max_bytes:
            raise LayerError(
                f"layer unpacks to more than {self.max_bytes} bytes; refused as a bomb, "
                "raise UnpackLimits.max_bytes if it is meant"
            )

    def is_bomb(self, size: int, compressed: int) -> bool:
        """Say whether `size` bytes out of `compressed` ones are too many."""
        return size > max(self.ratio_from, self.max_ratio * compressed)


class _Decompressor(Protocol):
    def decompress(self, data: bytes | memoryview, /) -> bytes: ...
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...


class LayerReader:
    """Reads the tar inside `raw` sequentially, with the methods that tarfile calls.

    After drain(): `digest` and `size` of the raw bytes, `diff_id` of the tar. Raises LayerError for a
    truncated or corrupt stream and beyond the limits.

    lenient: the tar may end right after the last file's bytes, without padding and end mark, as docker's
    client writes it when it adds a Dockerfile to a context. Nothing else may be missing: an end mark that
    has begun must be complete.

    hashed: False when no digests are needed.
    """

    def __init__(
        self, raw: BinaryIO, limits: UnpackLimits, *, lenient: bool = False, hashed: bool = True
    ) -> None:
        self._raw, self._limits, self._hashed = raw, limits, hashed
        self._padding = _END if lenient else 0
        self._raw_hash, self._tar_hash = Hash(), Hash()
        self._buffer, self._at, self._position = b"", 0, 0
        self.size, self._total = 0, 0
        self.compression = ""
        self._pending = memoryview(self._pull())
        self.compression = sniff(self._pending)
        self._inner: _Decompressor | None = self._new_inner()
        self._step = _PIECES.get(self.compression, 0)
        self._ends_in_zeros = False

    # ---- called by tarfile -----------------------------------------------------------------------------

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes, fewer only at the end of the stream."""
        if size > _LONGEST_HEADER:
            raise LayerError(f"layer has a header of {size} bytes; refused as a decompression bomb")
        end = self._at + size
        while len(self._buffer) < end:
            more = self._next_chunk()
            if not more:
                break
            self._buffer, self._at, end = self._buffer[self._at :] + more, 0, size
        data = self._buffer[self._at : end]
        self._at += len(data)
        if self._padding and len(data) < size:
            if data and size == _BLOCK:
                raise self._cut_short()
            missing = min(self._padding, size - len(data))
            data, self._padding = data + bytes(missing), self._padding - missing
        self._position += len(data)
        if data:
            self._ends_in_zeros = not data.strip(b"\0")
        return data

    def read_some(self, size: int) -> memoryview:
        """Return 1 to `size` bytes of a file's content without copying, none at the end of the stream."""
        if self._at >= len(self._buffer):
            self._buffer, self._at = self._next_chunk(), 0
        data = memoryview(self._buffer)[self._at : self._at + size]
        self._at += len(data)
        self._position += len(data)
        self._ends_in_zeros = False
        return data

    def tell(self) -> int:
        """Position in the tar."""
        return self._position

    def seek(self, position: int) -> None:
        """Skip forward to `position`; a shorter stream shows at the next read."""
        if position < self._position:
            raise LayerError("layer's tar refers backwards: it is corrupt; get the image again")
        while self._position < position and self.read(min(_CHUNK, position - self._position)):
            pass

    # ---- the end ---------------------------------------------------------------------------------------

    def drain(self) -> None:
        """Read to the end of the stream, which the digests cover; the end mark must be there."""
        if not self._ends_in_zeros:
            raise self._cut_short()
        second = 0
        lenient, self._padding = self._padding > 0, 0
        while data := self.read(_CHUNK):
            second += len(data)
        if lenient and 0 < second < _BLOCK:
            raise self._cut_short()

    def _cut_short(self) -> LayerError:
        return LayerError("layer's tar has no end mark: it was cut short; get the image again")

    @property
    def tar_size(self) -> int:
        """Bytes of the tar read so far."""
        return self._total

    @property
    def digest(self) -> str:
        """Digest of the raw bytes read so far."""
        if self.compression == "none":
            return self.diff_id
        return f"sha256:{self._raw_hash.hexdigest()}"

    @property
    def diff_id(self) -> str:
        """Digest of the tar's bytes read so far."""
        return f"sha256:{self._tar_hash.hexdigest()}"

    # ---- decompression ---------------------------------------------------------------------------------

    def _pull(self) -> bytes:
        data = self._raw.read(_CHUNK)
        if self._hashed and self.compression != "none":
            self._raw_hash.update(data)
        self.size += len(data)
        return data

    def _next_chunk(self) -> bytes:
        data = self._plain_chunk() if self._inner is None else self._inflated_chunk(self._inner)
        if self._hashed:
            self._tar_hash.update(data)
        self._total += len(data)
        self._limits.check_bytes(self._total)
        if self._limits.is_bomb(self._total, self.size):
            raise LayerError(
                f"layer unpacks to more than {self._limits.max_ratio} times its compressed size; refused as "
                "a bomb, raise UnpackLimits.max_ratio if it is meant"
            )
        return data

    def _plain_chunk(self) -> bytes:
        data, self._pending = bytes(self._pending) or self._pull(), memoryview(b"")
        return data

    def _inflated_chunk(self, inner: _Decompressor) -> bytes:
        out: list[bytes] = []
        size = 0
        while size < _CHUNK:
            if not self._pending:
                self._pending = memoryview(self._pull())
            if inner.eof:
                if not self._pending:
                    break
                self._check_next_frame()
                self._inner = inner = self._require_inner()
            if not self._pending:
                raise LayerError(f"layer's {self.compression} stream is cut short; get the image again")
            piece, self._pending = self._pending[: self._step], self._pending[self._step :]
            data = self._decompress(inner, piece)
            if len(data) > _CHUNK:
                self._step = _SMALLEST
            elif self._step < _PIECES[self.compression] and len(data) < _CHUNK // 8:
                self._step *= 2
            out.append(data)
            size += len(data)
        return out[0] if len(out) == 1 else b"".join(out)

    def _decompress(self, inner: _Decompressor, piece: memoryview) -> bytes:
        try:
            data = inner.decompress(piece)
        except Exception as error:  # zlib.error and zstandard.ZstdError have no common base
            message = f"layer's {self.compression} stream is corrupt ({error}); get the image again"
            raise LayerError(message) from error
        if inner.eof and inner.unused_data:
            self._pending = memoryview(inner.unused_data + bytes(self._pending))
        return data

    def _check_next_frame(self) -> None:
        if sniff(self._pending) != self.compression and not _is_skippable(self._pending):
            message = f"layer has extra bytes after its {self.compression} stream"
            raise LayerError(f"{message}; get the image again")

    def _require_inner(self) -> _Decompressor:
        inner = self._new_inner()
        assert inner is not None
        return inner

    def _new_inner(self) -> _Decompressor | None:
        if self.compression == "gzip":
            return cast("_Decompressor", isal_zlib.decompressobj(31))
        if self.compression == "zstd":
            import zstandard

            return zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        return None


def _is_skippable(data: memoryview) -> bool:
    return len(data) >= 4 and bytes(data[1:4]) == b"\x2a\x4d\x18" and data[0] & 0xF0 == 0x50


def sniff(start: bytes | memoryview) -> str:
    """Name the compression by the first bytes, since media types are often wrong in the wild."""
    data = bytes(start[:8])
    if not data:
        raise LayerError("layer is empty: not even a tar's end mark; get the image again")
    found = next((name for magic, name in MAGIC.items() if data.startswith(magic)), "none")
    if found in _UNUSED:
        raise LayerError(f"layer is compressed with {found}, which OCI images do not use; use gzip or zstd")
    return found
