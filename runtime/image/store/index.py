"""A store's index.json: read, checked, and replaced as a whole."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from runtime.image.documents import Descriptor, Index, Manifest, decode, encode
from runtime.image.errors import ImageError, errno_advice
from runtime.image.layers import store_files
from runtime.image.layers.layer_store import LayerStore
from runtime.image.store import catalog
from runtime.image.store.catalog import Entries


class IndexFile:
    """The list of images in `content`'s directory. Change it under the store's lock."""

    def __init__(self, content: LayerStore) -> None:
        self._content = content
        self.path: Path = content.root / "index.json"
        self._known: tuple[tuple[int, ...], Entries] = ((), ())

    def read(self) -> Entries:
        """Return the entries, each with its image's id; none if the file is missing."""
        # Taken before the read: if the content is newer than the version, it is read again next time.
        version = self._version()
        if version and self._known[0] == version:
            return self._known[1]
        entries = self._read()
        if all(catalog.ID in entry.annotations for entry in entries):
            self._known = version, entries
        return entries

    def _version(self) -> tuple[int, ...]:
        """Return what identifies the file's content; it is always replaced as a whole."""
        try:
            info = os.stat(self.path)  # noqa: PTH116 - on the start path
        except OSError:
            return ()
        return info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns

    def _read(self) -> Entries:
        try:
            found = msgspec.json.decode(self.path.read_bytes(), type=Index).manifests
        except FileNotFoundError:
            return ()
        except (OSError, msgspec.MsgspecError) as error:
            raise ImageError(
                f"read {self.path}: {error}; restore it, or move the store away and import again"
            ) from error
        return tuple(entry if catalog.ID in entry.annotations else self._identified(entry) for entry in found)

    def _identified(self, entry: Descriptor) -> Descriptor:
        """Add the id to an entry written by another tool (skopeo) or an older version."""
        try:
            manifest = decode(self._content.read_blob(entry.digest), Manifest)
        except (ImageError, msgspec.MsgspecError):  # a damaged image can still be listed and removed
            return entry
        marked = entry.annotations | {catalog.ID: manifest.config.digest}
        return msgspec.structs.replace(entry, annotations=marked)

    def write(self, entries: Entries) -> None:
        """Replace the list; readers, and a crash, see the old or the new one."""
        try:
            self._content.settle()
            with store_files.scratch_directory(self._content.tmp) as scratch:
                store_files.write_atomically(self.path, encode(Index(manifests=entries)), scratch)
        except OSError as error:
            raise ImageError(f"write {self.path}: {errno_advice(error)}") from error
