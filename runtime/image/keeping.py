"""A layer's raw bytes, kept in a file when they are read: on the disk before they are worked on."""

from __future__ import annotations

from runtime.image.documents import MEDIA_TYPE_OF, Descriptor
from runtime.image.files import EarlyWriter
from runtime.image.pack import LayerWriter
from runtime.image.pipeline import Source
from runtime.image.streams import LayerReader, sniff


class Keeper:
    """Reads from `source` and keeps what it reads; a plain tar is compressed, where `compress` allows it."""

    def __init__(self, source: Source, target: EarlyWriter, *, compress: bool) -> None:
        self._source, self._target = source, target
        self._compress = compress
        self._writer: LayerWriter | None = None
        self._begun = False

    def read(self, size: int, /) -> bytes:
        """Return the next bytes."""
        data = self._source.read(size)
        if data and not self._begun:
            self._begun = True
            if self._compress and sniff(data) == "none":
                self._writer = LayerWriter(self._target, "zstd")
        (self._writer or self._target).write(data)
        return data

    def kept(self, reader: LayerReader) -> Descriptor:
        """Describe what was kept, once `reader` has had all of it."""
        digest, size, compression = reader.digest, reader.size, reader.compression
        if self._writer is not None:
            packed = self._writer.finish(end_mark=False)
            digest, size, compression = packed.digest, packed.size, "zstd"
        return Descriptor(media_type=MEDIA_TYPE_OF[compression], digest=digest, size=size)
