"""Write a layer's raw bytes to a file while they are read, before they are unpacked."""

from __future__ import annotations

from runtime.image.documents import MEDIA_TYPE_OF, Descriptor
from runtime.image.layers.layer_reader import LayerReader, sniff
from runtime.image.layers.pack import BlobWriter, Compression
from runtime.image.layers.pipeline import Readable
from runtime.image.layers.store_files import EarlyWriter


class BlobTee:
    """Reads from `source` and copies it to `target`, where a plain tar is compressed if so asked."""

    def __init__(self, source: Readable, target: EarlyWriter, compression: Compression) -> None:
        self._source, self._target = source, target
        self._compression = compression
        self._writer: BlobWriter | None = None
        self._started = False

    def read(self, size: int, /) -> bytes:
        """Return the next bytes."""
        data = self._source.read(size)
        if data and not self._started:
            self._started = True
            if self._compression != "none" and sniff(data) == "none":
                self._writer = BlobWriter(self._target, self._compression)
        (self._writer or self._target).write(data)
        return data

    def descriptor(self, reader: LayerReader) -> Descriptor:
        """Describe what was written, once `reader` has read everything."""
        if self._writer is None:
            media_type = MEDIA_TYPE_OF[reader.compression]
            return Descriptor(media_type=media_type, digest=reader.digest, size=reader.size)
        digest = self._writer.finish()
        return Descriptor(media_type=MEDIA_TYPE_OF[self._compression], digest=digest, size=self._writer.size)
