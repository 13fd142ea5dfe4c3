"""How much of the disk a container's own files take."""

from __future__ import annotations

from runtime.engine.service.record import ContainerRecord
from runtime.engine.service.service import Service
from runtime.engine.service.written import bytes_below
from runtime.image.errors import ImageError


def sizes_of(service: Service, record: ContainerRecord) -> tuple[int, int]:
    """Return (bytes of what it wrote, bytes of that and its image). Blocks on the disk."""
    written = bytes_below(service.containers.directory(record.id) / "layer" / "u")
    try:
        image = service.images.resolve(record.image_id).unpacked_size
    except ImageError:
        image = 0
    return written, written + image
