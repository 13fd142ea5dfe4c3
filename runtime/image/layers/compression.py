"""Decompress what `docker load`, `import`, `build` and `ADD` accept: gzip, bzip2, xz, zstd or plain."""

from __future__ import annotations

import bz2
import io
import lzma
import zlib
from typing import Any, BinaryIO, cast

from isal import igzip

from runtime.image.errors import LayerError
from runtime.image.layers.layer_reader import MAGIC, UnpackLimits
from runtime.image.layers.pipeline import Readable

_LONGEST = max(map(len, MAGIC))


def compression_of(start: bytes) -> str:
    """Name the compression of a stream by its first bytes: gzip, bzip2, xz, zstd, or ""."""
    return next((name for magic, name in MAGIC.items() if start.startswith(magic)), "")


class PlainReader(io.RawIOBase):
    """Reads a stream's decompressed bytes. LayerError: it is corrupt, cut short or a bomb.

    compression: the stream's, "" for none. limits: only the ratio to the compressed size is checked here; the
    total size is the reader's concern.
    """

    def __init__(self, source: Readable, limits: UnpackLimits) -> None:
        start = b""
        while len(start) < _LONGEST and (more := source.read(_LONGEST - len(start))):
            start += more
        self.compression = compression_of(start)
        self._raw, self._limits, self._size = _Prefixed(start, source), limits, 0
        self._inner = _opened(self.compression, cast("BinaryIO", io.BufferedReader(self._raw)))

    def readable(self) -> bool:
        """Always true."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` with the next bytes."""
        try:
            data = self._inner.read(len(buffer))
        except (OSError, EOFError, zlib.error, lzma.LZMAError, ValueError) as error:
            raise self._corrupt(error) from error
        except Exception as error:
            if type(error).__name__ not in ("ZstdError", "IsalError"):
                raise
            raise self._corrupt(error) from error
        buffer[: len(data)] = data
        self._size += len(data)
        if self.compression and self._limits.is_bomb(self._size, self._raw.size):
            raise LayerError(
                f"{self.compression} stream unpacks to more than {self._limits.max_ratio} times its "
                "compressed size; refused as a bomb"
            )
        return len(data)

    def _corrupt(self, error: Exception) -> LayerError:
        return LayerError(f"{self.compression or 'plain'} stream is corrupt ({error}); send it again")


class _Prefixed(io.RawIOBase):
    """The bytes already read, then the rest. size: bytes read so far."""

    def __init__(self, start: bytes, rest: Readable) -> None:
        self._start, self._rest = start, rest
        self.size = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._start:
            data, self._start = self._start[: len(buffer)], self._start[len(buffer) :]
        else:
            data = self._rest.read(len(buffer))
        buffer[: len(data)] = data
        self.size += len(data)
        return len(data)


def _opened(compression: str, stream: BinaryIO) -> Readable:
    if compression == "gzip":
        return cast("Readable", igzip.IGzipFile(fileobj=stream))  # type: ignore[no-untyped-call]
    if compression == "bzip2":
        return cast("Readable", bz2.BZ2File(stream))
    if compression == "xz":
        return cast("Readable", lzma.LZMAFile(stream))
    if compression == "zstd":
        import zstandard

        reader = zstandard.ZstdDecompressor(max_window_size=1 << 27)
        return cast("Readable", reader.stream_reader(stream, read_across_frames=True))
    return cast("Readable", stream)
