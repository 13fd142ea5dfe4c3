"""Garbage collection: remove what no manifest uses, first from repositories and then from the disk.

Kept are all manifests (with `untagged`: those that a tag, an index or a kept subject leads to), the blobs
that they refer to, and content younger than the grace period, since a push sends blobs before their manifest.
"""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

import msgspec

from runtime.image.layers import store_files
from runtime.image.server.faults import FaultError
from runtime.image.server.manifests import ParsedManifest, read_manifest
from runtime.image.server.registry_store import RegistryStore

GRACE_S = 3600.0


class Collected(msgspec.Struct, frozen=True, kw_only=True):
    """What was removed. blobs: repositories' links to blobs; files, bytes: content on the disk."""

    manifests: int
    blobs: int
    files: int
    bytes: int


def collect(store: RegistryStore, *, untagged: bool = False, grace_s: float = GRACE_S) -> Collected:
    """Collect garbage. Nobody may write to the store meanwhile; readers may go on.

    untagged: also remove manifests that no tag leads to. If killed midway it has removed a part, and the
    store is intact.
    """
    before = time.time() - grace_s
    store_files.sweep_scratch(store.tmp)
    manifests = blobs = 0
    needed: set[str] = set()
    for repository in store.all_repositories():
        known = _manifests(store, repository)
        kept = _reachable(store, repository, known, before) if untagged else set(known)
        for digest in known.keys() - kept:
            store.drop_manifest(repository, digest)
            manifests += 1
        wanted = {blob for digest in kept for blob in known[digest].blobs}
        for digest, mark in store.marks(repository, "_blobs").items():
            if digest not in wanted and _older(mark, before):
                mark.unlink(missing_ok=True)
                blobs += 1
        needed |= kept | set(store.marks(repository, "_blobs"))
    count, size = _drop_content(store, needed, before)
    return Collected(manifests=manifests, blobs=blobs, files=count, bytes=size)


def _manifests(store: RegistryStore, repository: str) -> dict[str, ParsedManifest]:
    """Return digest → manifest; unreadable ones are left out."""
    found: dict[str, ParsedManifest] = {}
    for digest in store.marks(repository, "_manifests"):
        with contextlib.suppress(FaultError, OSError):
            _, media_type, path = store.manifest(repository, digest)
            found[digest] = read_manifest(path.read_bytes(), media_type)
    return found


def _reachable(
    store: RegistryStore, repository: str, known: dict[str, ParsedManifest], before: float
) -> set[str]:
    """Return the manifests that a tag leads to, through indexes and from subjects to referrers."""
    marks = store.marks(repository, "_manifests")
    kept = {store.manifest(repository, tag)[0] for tag in store.tags(repository)}
    kept |= {digest for digest in known if not _older(marks[digest], before)}
    while True:
        more = {child for digest in kept & known.keys() for child in known[digest].manifests}
        more |= {digest for digest, one in known.items() if one.subject in kept}
        if more <= kept:
            return kept & known.keys()
        kept |= more


def _drop_content(store: RegistryStore, needed: set[str], before: float) -> tuple[int, int]:
    count = size = 0
    for directory in store.blobs.iterdir():
        for path in directory.iterdir():
            if f"{directory.name}:{path.name}" not in needed and _older(path, before):
                size += path.stat().st_size
                path.unlink()
                count += 1
    return count, size


def _older(path: Path, before: float) -> bool:
    try:
        return path.stat().st_mtime < before
    except FileNotFoundError:
        return False
