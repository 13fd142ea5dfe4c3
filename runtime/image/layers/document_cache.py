"""Documents that were read, checked and decoded before, as long as their files are the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from runtime.image.documents import ImageConfig, Manifest

_MOST = 1024
_LONGEST = 16 << 10
"""Bytes of documents that are kept: their length must not decide how much memory is used."""

Version = tuple[tuple[int, ...], ...]


class Documents(NamedTuple):
    """An image's documents. Nobody changes them."""

    manifest: Manifest
    config: ImageConfig


class _Cached(NamedTuple):
    version: Version
    config: Path
    documents: Documents


class DocumentCache:
    """By the digest of the manifest. For several threads."""

    def __init__(self) -> None:
        self._known: dict[str, _Cached] = {}

    def get(self, digest: str, manifest: Path) -> Documents | None:
        """Return the documents, unless one of their files is not what it was."""
        known = self._known.get(digest)
        if known is None or version_of(manifest, known.config) != known.version:
            return None
        return known.documents

    def put(self, digest: str, version: Version, config: Path, documents: Documents) -> None:
        """Keep what was read. version: of both files, each from before it was read."""
        if len(version) != 2 or sum(size for _, size, *_ in version) > _LONGEST:
            return
        if len(self._known) >= _MOST:
            self._known.pop(next(iter(self._known)), None)
        self._known[digest] = _Cached(version, config, documents)

    def forget(self, digest: str) -> None:
        """Keep nothing of an image whose documents are removed."""
        self._known.pop(digest, None)


def version_of(*paths: Path) -> Version:
    """What changes with files, however they are changed; () where one is missing."""
    try:
        found = [os.stat(path) for path in paths]  # noqa: PTH116 - hot in lists
    except OSError:
        return ()
    return tuple((one.st_ino, one.st_size, one.st_mtime_ns, one.st_ctime_ns) for one in found)
