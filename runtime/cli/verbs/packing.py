"""Pack local files into a tar, as a stream, so that memory use stays small."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

from runtime.cli.connection.http import PIECE
from runtime.cli.errors import CliError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BLOCK = 512


def pack(entries: Iterable[tuple[Path, str]], *, root_owned: bool = False) -> Iterator[bytes]:
    """Yield a tar of (path, name in it); links stay links. root_owned: uid and gid 0.

    CliError when a file cannot be read.
    """
    with tarfile.open(fileobj=io.BytesIO(), mode="w") as known:  # remembers inodes, for hard links
        for path, name in entries:
            try:
                info = known.gettarinfo(str(path), name)
            except OSError as error:
                raise CliError(f"read {path}: {error.strerror}", 1) from error
            if info is None:
                continue  # a socket
            if root_owned:
                info.uid = info.gid = 0
                info.uname = info.gname = ""
            known.members = []  # type: ignore[attr-defined]
            yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
            if info.isreg() and info.size:
                yield from _content(path, info.size)
    yield bytes(2 * _BLOCK)


def _content(path: Path, size: int) -> Iterator[bytes]:
    """Yield exactly `size` bytes, even if the file changes, and fill the last block."""
    left = size
    try:
        with path.open("rb", buffering=0) as file:
            while left and (data := file.read(min(left, PIECE))):
                left -= len(data)
                yield data
    except OSError as error:
        raise CliError(f"read {path}: {error.strerror}", 1) from error
    while left:
        yield bytes(min(left, PIECE))
        left -= min(left, PIECE)
    if size % _BLOCK:
        yield bytes(_BLOCK - size % _BLOCK)


def single(name: str, data: bytes) -> Iterator[bytes]:
    """Yield the entry of one file in memory, without the end of a tar."""
    info = tarfile.TarInfo(name)
    info.size, info.mode = len(data), 0o644
    yield info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")
    yield data + bytes(-len(data) % _BLOCK)


def tree(root: Path, base: str) -> Iterator[tuple[Path, str]]:
    """Yield `root` as `base` and all below it, sorted; directories before their content."""
    yield root, base
    if root.is_symlink() or not root.is_dir():
        return
    try:
        entries = sorted(os.scandir(root), key=lambda entry: entry.name)
    except OSError as error:
        raise CliError(f"read {root}: {error.strerror}", 1) from error
    for entry in entries:
        yield from tree(Path(entry.path), f"{base}/{entry.name}")


class IteratorFile(io.RawIOBase):
    """An iterator of bytes as a file to read."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._left = b""
        self.count = 0

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: object) -> int:
        """Read at most one piece into a buffer."""
        target = memoryview(buffer)  # type: ignore[arg-type]
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = piece
        part = self._left[: len(target)]
        target[: len(part)] = part
        self._left = self._left[len(part) :]
        self.count += len(part)
        return len(part)
