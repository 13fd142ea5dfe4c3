"""index.json of a store: read, checked, and replaced as a whole."""

from __future__ import annotations

from pathlib import Path

import msgspec

from runtime.image import catalog, files
from runtime.image.catalog import Entries
from runtime.image.documents import Descriptor, Index, Manifest, encode
from runtime.image.errors import ImageError, os_cause
from runtime.image.layers import LayerStore


class IndexFile:
    """The list of images in `content`'s directory. Changes are made under the store's lock."""

    def __init__(self, content: LayerStore) -> None:
        self._content = content
        self.path: Path = content.root / "index.json"

    def read(self) -> Entries:
        """Return the entries, each with its image's id. A missing file is an empty list."""
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
        """Add the id to an entry that others (skopeo) or an older version of ours wrote."""
        try:
            manifest = msgspec.json.decode(self._content.read_blob(entry.digest), type=Manifest)
        except (ImageError, msgspec.MsgspecError):  # damaged: it can still be listed and removed
            return entry
        marked = entry.annotations | {catalog.ID: manifest.config.digest}
        return msgspec.structs.replace(entry, annotations=marked)

    def write(self, entries: Entries) -> None:
        """Replace the list; a reader and a crash see the old one or the new one."""
        try:
            with files.scratch_directory(self._content.tmp) as scratch:
                files.write_atomically(self.path, encode(Index(manifests=entries)), scratch)
        except OSError as error:
            raise ImageError(f"write {self.path}: {os_cause(error)}") from error
