"""Uploads in progress: bytes arrive in order, in one or more requests, and become a blob at the end.

    uploads/<uuid>/repository    the repository it belongs to
    uploads/<uuid>/data          the bytes received; its length is the offset

There is no other state, so an upload survives a killed registry: its bytes are hashed again.
"""

from __future__ import annotations

import contextlib
import shutil
import time
import uuid
from pathlib import Path
from typing import Any

from runtime.image.server import identifiers
from runtime.image.server.faults import FaultError, upload_unknown
from runtime.image.server.registry_store import RegistryStore

ABANDONED_S = 24 * 3600.0
"""An upload without new bytes for so long is removed (distribution-spec: the server should)."""

_CHUNK = 1 << 20


class Upload:
    """One upload. One request at a time may write to it; `busy` says that one does."""

    def __init__(self, upload_id: str, repository: str, directory: Path, algorithm: str) -> None:
        self.id = upload_id
        self.repository = repository
        self.directory = directory
        self.algorithm = algorithm
        self.busy = False
        self._hash: Any = identifiers.hasher(algorithm)
        self.offset = 0
        # Opened for each write: there may be many open uploads, and each would hold a descriptor for a day.
        self._data = directory / "data"
        self._data.touch()
        self._rehash()

    def _rehash(self) -> None:
        self._hash = identifiers.hasher(self.algorithm)
        self.offset = 0
        with self._data.open("rb") as file:
            while data := file.read(_CHUNK):
                self._hash.update(data)
                self.offset += len(data)

    def write(self, data: bytes) -> None:
        """Append bytes. Raises OSError (a full disk); bytes written before stay."""
        with self._data.open("ab", buffering=0) as file:
            view = memoryview(data)
            while view:
                written = file.write(view)
                self._hash.update(view[:written])
                self.offset += written
                view = view[written:]

    def digest(self, algorithm: str) -> str:
        """Return the digest of the bytes received."""
        if algorithm != self.algorithm:
            self.algorithm = algorithm
            self._rehash()
        return f"{algorithm}:{self._hash.hexdigest()}"

    @property
    def range(self) -> str:
        """The bytes received, as in the `Range` header."""
        return f"0-{max(self.offset - 1, 0)}"


class Uploads:
    """All uploads of a store."""

    def __init__(self, store: RegistryStore) -> None:
        self._store = store
        self._open: dict[str, Upload] = {}

    def begin(self, repository: str, algorithm: str = "sha256") -> Upload:
        """Start an upload; algorithm: hashed while it arrives, others at the end."""
        identifiers.hasher(algorithm)
        found = str(uuid.uuid4())
        directory = self._store.uploads / found
        directory.mkdir()
        (directory / "repository").write_text(repository)
        upload = self._open[found] = Upload(found, repository, directory, algorithm)
        return upload

    def get(self, repository: str, upload_id: str) -> Upload:
        """Return an upload, even one from before a restart. Raises BLOB_UPLOAD_UNKNOWN."""
        try:
            known = str(uuid.UUID(upload_id))  # normalizes spellings
        except ValueError:
            raise upload_unknown(upload_id) from None
        upload = self._open.get(known) or self._reopen(known)
        if upload.repository != repository:
            raise upload_unknown(upload_id)
        return upload

    def _reopen(self, upload_id: str) -> Upload:
        directory = self._store.uploads / upload_id
        try:
            repository = (directory / "repository").read_text()
        except FileNotFoundError:
            raise upload_unknown(upload_id) from None
        upload = self._open[upload_id] = Upload(upload_id, repository, directory, "sha256")
        return upload

    def finish(self, upload: Upload, digest: str) -> None:
        """Turn the upload into a blob. Raises DIGEST_INVALID, and removes it, if its digest differs."""
        found = upload.digest(digest.partition(":")[0])
        if found != digest:
            self.cancel(upload)
            raise FaultError(
                400,
                "DIGEST_INVALID",
                f"the upload has the digest {found}, not {digest}; start another upload",
                {"digest": digest, "found": found},
            )
        self._store.keep_blob(upload.repository, digest, upload.directory / "data")
        self.cancel(upload)

    def cancel(self, upload: Upload) -> None:
        """Remove an upload with its bytes. Idempotent."""
        self._open.pop(upload.id, None)
        shutil.rmtree(upload.directory, ignore_errors=True)

    def expire(self, older_than_s: float = ABANDONED_S) -> int:
        """Remove uploads without new bytes for so long; return how many."""
        count = 0
        for directory in list(self._store.uploads.iterdir()):
            with contextlib.suppress(FileNotFoundError):
                upload = self._open.get(directory.name)
                newest = max(path.stat().st_mtime for path in (directory, *directory.iterdir()))
                if (upload is None or not upload.busy) and time.time() - newest > older_than_s:
                    self._open.pop(directory.name, None)
                    shutil.rmtree(directory, ignore_errors=True)
                    count += 1
        return count
