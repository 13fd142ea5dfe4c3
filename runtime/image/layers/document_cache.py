"""Cache of decoded manifests and configs, valid while their files are unchanged."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from runtime.image.documents import ImageConfig, Manifest

_MOST = 1024
_LONGEST = 16 << 10
"""Bytes; longer documents are not cached, which bounds the memory."""

Version = tuple[tuple[int, ...], ...]


class Documents(NamedTuple):
    """An image's documents."""

    manifest: Manifest
    config: ImageConfig


class _Cached(NamedTuple):
    version: Version
    config: Path
    documents: Documents


class DocumentCache:
    """Documents by the manifest's digest. Thread-safe."""

    def __init__(self) -> None:
        self._cached: dict[str, _Cached] = {}

    def get(self, digest: str, manifest: Path) -> Documents | None:
        """Return the documents, None if one of their files has changed."""
        found = self._cached.get(digest)
        if found is None or version_of(manifest, found.config) != found.version:
            return None
        return found.documents

    def put(self, digest: str, version: Version, config: Path, documents: Documents) -> None:
        """Cache documents. version: of both files, each taken before the file was read."""
        if len(version) != 2 or sum(size for _, size, *_ in version) > _LONGEST:
            return
        if len(self._cached) >= _MOST:
            self._cached.pop(next(iter(self._cached)), None)
        self._cached[digest] = _Cached(version, config, documents)

    def forget(self, digest: str) -> None:
        """Drop an image whose documents are removed."""
        self._cached.pop(digest, None)


def version_of(*paths: Path) -> Version:
    """Return what identifies the files' present content; () if one is missing."""
    try:
        statuses = [os.stat(path) for path in paths]  # noqa: PTH116 - hot in lists
    except OSError:
        return ()
    return tuple(
        (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns) for status in statuses
    )
