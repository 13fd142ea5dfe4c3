"""The registry's files. Every name in a path was validated; every change is one durable rename.

    blobs/<algorithm>/<hex>                        content of blobs and manifests, once for all repositories
    repositories/<name>/_blobs/<algorithm>-<hex>   an empty file: the repository holds that blob
    repositories/<name>/_manifests/<algorithm>-<hex>   its media type
    repositories/<name>/_tags/<tag>                the manifest's digest
    repositories/<name>/_referrers/<subject>/<manifest>   the manifest's descriptor
    uploads/<uuid>/                                see uploads.py
    tmp/                                           work in progress, named after its process

A repository's own directories begin with `_`, which names cannot. Content is written before references to it,
so a power failure leaves at most unused content, which collect() removes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import msgspec

from runtime.image.layers import store_files
from runtime.image.server import identifiers
from runtime.image.server.faults import FaultError, blob_unknown, manifest_unknown, name_unknown
from runtime.image.server.manifests import ParsedManifest, read_manifest
from runtime.spawn.durable import sync_path

_OWN = "_manifests"


class RegistryStore:
    """Blobs, manifests and tags below `root`. Sync; one process at a time writes, see serve.exclusive()."""

    def __init__(self, root: Path) -> None:
        self.root = Path(root)
        self.uploads = self.root / "uploads"
        self.repositories = self.root / "repositories"
        self.blobs = self.root / "blobs"
        self.tmp = self.root / "tmp"
        for algorithm in identifiers.ALGORITHMS:
            (self.blobs / algorithm).mkdir(parents=True, exist_ok=True)
        for path in (self.uploads, self.repositories, self.tmp):
            path.mkdir(parents=True, exist_ok=True)

    # ---- blobs -----------------------------------------------------------------------------------------

    def blob_path(self, digest: str) -> Path:
        """Return the path of a digest's content, existing or not."""
        algorithm, _, value = digest.partition(":")
        return self.blobs / algorithm / value

    def blob(self, repository: str, digest: str) -> Path:
        """Return the file of a repository's blob. Raises BLOB_UNKNOWN."""
        path = self.blob_path(digest)
        if not (self._mark(repository, "_blobs", digest).exists() and path.exists()):
            raise blob_unknown(digest)
        return path

    def has_blob(self, repository: str, digest: str) -> bool:
        """Say whether the repository has it."""
        return self._mark(repository, "_blobs", digest).exists() and self.blob_path(digest).exists()

    def keep_blob(self, repository: str, digest: str, content: Path) -> None:
        """Move the complete file `content`, whose digest was checked, into the repository as a blob."""
        target = self.blob_path(digest)
        if target.exists():
            content.unlink()
        else:
            sync_path(content)
            content.replace(target)
            sync_path(target.parent)
        self._write(self._mark(repository, "_blobs", digest), b"")

    def mount_blob(self, repository: str, digest: str, source: str) -> bool:
        """Add a blob of `source` ("": of any repository) to the repository; False if there is none."""
        if not self.blob_path(digest).exists():
            return False
        held = self.has_blob(source, digest) if source else self._anyone_has(digest)
        if held:
            self._write(self._mark(repository, "_blobs", digest), b"")
        return held

    def _anyone_has(self, digest: str) -> bool:
        return any(self.has_blob(name, digest) for name in self.all_repositories())

    def drop_blob(self, repository: str, digest: str) -> None:
        """Remove a blob from the repository; collect() removes its content later."""
        self.blob(repository, digest)
        self._mark(repository, "_blobs", digest).unlink(missing_ok=True)

    # ---- manifests -------------------------------------------------------------------------------------

    def put_manifest(
        self, repository: str, data: bytes, content_type: str, digest: str, tags: tuple[str, ...]
    ) -> ParsedManifest:
        """Store a manifest under its digest and tags. Raises MANIFEST_INVALID, MANIFEST_BLOB_UNKNOWN."""
        pushed = read_manifest(data, content_type)
        missing = [digest for digest in pushed.blobs if not self.has_blob(repository, digest)]
        missing += [digest for digest in pushed.manifests if not self.has_manifest(repository, digest)]
        if missing:
            raise FaultError(
                404,
                "MANIFEST_BLOB_UNKNOWN",
                f"manifest refers to {len(missing)} missing blobs or manifests, push them first: "
                f"{', '.join(missing[:3])}",
                [{"digest": digest} for digest in missing[:100]],
            )
        self._write(self.blob_path(digest), data)
        self._write(self._mark(repository, _OWN, digest), pushed.media_type.encode())
        if pushed.subject:
            descriptor = msgspec.json.encode(pushed.descriptor(digest, len(data)))
            self._write(self._referrer(repository, pushed.subject, digest), descriptor)
        for tag in tags:
            self._write(self._repository(repository) / "_tags" / tag, digest.encode())
        return pushed

    def manifest(self, repository: str, reference: str) -> tuple[str, str, Path]:
        """Find a manifest by tag or digest: its digest, media type and file. Raises MANIFEST_UNKNOWN."""
        digest = reference if identifiers.is_digest(reference) else self._tagged(repository, reference)
        mark, path = self._mark(repository, _OWN, digest), self.blob_path(digest)
        try:
            media_type = mark.read_text()
        except FileNotFoundError:
            raise manifest_unknown(reference) from None
        if not path.exists():
            raise manifest_unknown(reference)
        return digest, media_type, path

    def has_manifest(self, repository: str, digest: str) -> bool:
        """Say whether the repository has it."""
        return self._mark(repository, _OWN, digest).exists() and self.blob_path(digest).exists()

    def _tagged(self, repository: str, tag: str) -> str:
        try:
            return identifiers.digest((self._repository(repository) / "_tags" / tag).read_text())
        except FileNotFoundError:
            raise manifest_unknown(tag) from None

    def drop_tag(self, repository: str, tag: str) -> None:
        """Remove a tag; its manifest stays. Raises MANIFEST_UNKNOWN."""
        try:
            (self._repository(repository) / "_tags" / tag).unlink()
        except FileNotFoundError:
            raise manifest_unknown(tag) from None

    def drop_manifest(self, repository: str, digest: str) -> None:
        """Remove a manifest with the tags that point at it. Raises NAME_UNKNOWN, MANIFEST_UNKNOWN."""
        self.require(repository)
        _, media_type, path = self.manifest(repository, digest)
        for tag in self.tags(repository):
            if self._tagged(repository, tag) == digest:
                self.drop_tag(repository, tag)
        with contextlib.suppress(FaultError):
            subject = read_manifest(path.read_bytes(), media_type).subject
            if subject:
                self._referrer(repository, subject, digest).unlink(missing_ok=True)
        self._mark(repository, _OWN, digest).unlink(missing_ok=True)

    # ---- lists -----------------------------------------------------------------------------------------

    def tags(self, repository: str) -> list[str]:
        """Return all tags, sorted. Raises NAME_UNKNOWN."""
        self.require(repository)
        try:
            return sorted(os.listdir(self._repository(repository) / "_tags"))  # noqa: PTH208 - names only
        except FileNotFoundError:
            return []

    def referrers(self, repository: str, subject: str) -> list[bytes]:
        """Return the descriptors (JSON) of the manifests with this subject, sorted by digest."""
        directory = self._repository(repository) / "_referrers" / subject.replace(":", "-")
        found = []
        for path in sorted(directory.iterdir()) if directory.is_dir() else []:
            with contextlib.suppress(FileNotFoundError):
                found.append(path.read_bytes())
        return found

    def all_repositories(self) -> list[str]:
        """Return the names of all repositories, sorted."""
        return sorted(self._walk(self.repositories, ""))

    def _walk(self, directory: Path, prefix: str) -> Iterator[str]:
        with os.scandir(directory) as entries:
            below = sorted(entry.name for entry in entries if entry.is_dir())
        if any(name.startswith("_") for name in below):
            yield prefix
        for name in below:
            if not name.startswith("_"):
                yield from self._walk(directory / name, f"{prefix}/{name}" if prefix else name)

    def require(self, repository: str) -> None:
        """Raise NAME_UNKNOWN if nothing was ever pushed to the repository."""
        own = self._repository(repository)
        if not any((own / name).is_dir() for name in ("_blobs", _OWN)):
            raise name_unknown(repository)

    # ---- paths -----------------------------------------------------------------------------------------

    def _repository(self, name: str) -> Path:
        return self.repositories / name

    def marks(self, repository: str, kind: str) -> dict[str, Path]:
        """Return digest → file of all of a repository's `_blobs` or `_manifests`."""
        directory = self._repository(repository) / kind
        found = directory.iterdir() if directory.is_dir() else ()
        return {path.name.replace("-", ":", 1): path for path in found}

    def _mark(self, repository: str, kind: str, digest: str) -> Path:
        return self._repository(repository) / kind / digest.replace(":", "-")

    def _referrer(self, repository: str, subject: str, digest: str) -> Path:
        directory = self._repository(repository) / "_referrers" / subject.replace(":", "-")
        return directory / digest.replace(":", "-")

    def _write(self, path: Path, data: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with store_files.scratch_directory(self.tmp) as scratch:
            store_files.write_atomically(path, data, scratch)
