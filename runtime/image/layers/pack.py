"""Write a directory as a layer's tar; equal content gives equal bytes: sorted, without user names.

Whiteouts and opaque marks of a directory in overlay form (an upper directory) are written as OCI has them.
"""

from __future__ import annotations

import os
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterator
from typing import Literal, Protocol

from runtime.image.errors import ImageError, errno_advice
from runtime.image.layers import entry_names, metadata
from runtime.image.layers.layer_reader import MAGIC
from runtime.image.layers.pipeline import Hash
from runtime.image.layers.tar_entries import entry_of
from runtime.image.layers.tree import walk

_CHUNK = 1 << 20
_PIECE = 1 << 18
_BLOCK = 512
END_MARK = bytes(2 * _BLOCK)
"""The end of a tar, and a whole tar without entries."""

_MAGIC = tuple(magic.decode("utf-8", "surrogateescape") for magic in MAGIC)

_ZSTD_LEVEL = 2
"""Compression is on the critical path. Level 3 takes half as long again for 3 % less."""

Compression = Literal["none", "gzip", "zstd"]


Skip = Callable[[str, os.stat_result], bool]
"""Whether to leave out a path (relative to the packed directory)."""


class _Compressor(Protocol):
    def compress(self, data: bytes, /) -> bytes: ...
    def flush(self) -> bytes: ...


class ByteSink(Protocol):
    """Anything with a write()."""

    def write(self, data: bytes, /) -> object:
        """Write all of `data`."""
        ...


class BlobWriter:
    """Compresses a tar into `target`, and hashes the result."""

    def __init__(self, target: ByteSink, compression: Compression) -> None:
        self._target = target
        self._compressor = _compressor(compression)
        self._hash = Hash()
        self.size = 0

    def write(self, data: bytes) -> None:
        """Write the tar's next bytes."""
        self._put(self._compressor.compress(data) if self._compressor else data)

    def finish(self) -> str:
        """Flush, and return the digest of all bytes written."""
        if self._compressor:
            self._put(self._compressor.flush())
        return f"sha256:{self._hash.hexdigest()}"

    def _put(self, data: bytes) -> None:
        if data:
            self._hash.update(data)
            self._target.write(data)
            self.size += len(data)


def _compressor(compression: Compression) -> _Compressor | None:
    if compression == "zstd":
        import zstandard

        return zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compressobj()
    return zlib.compressobj(6, zlib.DEFLATED, 31) if compression == "gzip" else None


def keep_all(path: str, status: os.stat_result) -> bool:
    """Skip nothing."""
    return False


def tar_pieces(source: str, *, skip: Skip = keep_all, root: bool = True) -> Iterator[bytes]:
    """Yield the directory `source` as a layer's tar. Sockets are left out, since a tar cannot hold them.

    skip: for each path below the root, whether to leave it out. root: include an entry for the root itself.
    Raises ImageError naming a file that cannot be read, shrank meanwhile, or has a whiteout's name.
    """
    ready = bytearray()
    links: dict[tuple[int, int], str] = {}
    path = ""
    try:
        for path, full, status in walk(source):
            if (path and not skip(path, status)) or (not path and root):
                for piece in _pack_one(path, full, status, links):
                    ready += piece
                    if len(ready) >= _PIECE:
                        yield bytes(ready)
                        ready.clear()
    except OSError as error:
        raise ImageError(f"pack {path!r} of {source}: {errno_advice(error)}") from error
    yield bytes(ready) + END_MARK


def _pack_one(
    path: str, full: str, status: os.stat_result, links: dict[tuple[int, int], str]
) -> Iterator[bytes]:
    parent, _, base = path.rpartition("/")
    if base.startswith(entry_names.WHITEOUT):
        raise ImageError(
            f"pack {full}: a layer cannot hold names that start with {entry_names.WHITEOUT}; rename it"
        )
    if metadata.is_whiteout(status):
        yield _header(tarfile.TarInfo(f"{parent}/{entry_names.WHITEOUT}{base}".lstrip("/")))
        return
    if stat.S_ISSOCK(status.st_mode):
        return
    if metadata.lies_elsewhere(full):
        raise ImageError(
            f"pack {full}: overlayfs keeps its content in a lower layer; mount it with redirect_dir=off"
        )
    entry = _entry(path, full, status)
    if not stat.S_ISDIR(status.st_mode) and status.st_nlink > 1:
        first = links.setdefault((status.st_dev, status.st_ino), path)
        if first != path:
            entry.type, entry.linkname, entry.size = tarfile.LNKTYPE, first, 0
    yield _header(entry)
    if entry.isreg():
        yield from _content(full, status.st_size)
    if stat.S_ISDIR(status.st_mode) and metadata.is_opaque(full):
        yield _header(tarfile.TarInfo(f"{path}/{entry_names.OPAQUE}".lstrip("/")))


def _entry(path: str, full: str, status: os.stat_result) -> tarfile.TarInfo:
    entry = entry_of(path or "./", status, lambda: os.readlink(full))  # noqa: PTH115 - hot
    entry.pax_headers = {
        metadata.PAX_XATTR + name: value.decode("utf-8", "surrogateescape")
        for name, value in metadata.read_xattrs(full).items()
    }
    if status.st_mtime_ns % 1_000_000_000 or status.st_mtime_ns < 0:
        entry.pax_headers["mtime"] = _seconds(status.st_mtime_ns)
    return entry


def _seconds(ns: int) -> str:
    sign, (seconds, rest) = "-" if ns < 0 else "", divmod(abs(ns), 1_000_000_000)
    return f"{sign}{seconds}.{rest:09d}".rstrip("0").rstrip(".")


def _header(entry: tarfile.TarInfo) -> bytes:
    if entry.name.startswith(_MAGIC):  # a tar that begins so would look compressed
        entry.name = f"./{entry.name}"
    return entry.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _content(full: str, size: int) -> Iterator[bytes]:
    left = size
    fd = os.open(full, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        while left:
            data = os.read(fd, min(_CHUNK, left))
            if not data:
                raise ImageError(f"pack {full}: it shrank while it was read; stop what writes to it")
            yield data
            left -= len(data)
    finally:
        os.close(fd)
    yield bytes(-size % _BLOCK)
