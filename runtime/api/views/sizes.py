"""How much of the disk a container's own files take."""

from __future__ import annotations

import functools
from collections.abc import Callable

from runtime.engine.service.files.disk_usage import bytes_below
from runtime.engine.service.model.record import ContainerRecord
from runtime.engine.service.service import Service
from runtime.image.errors import ImageError


def sizing(service: Service) -> Callable[[ContainerRecord], tuple[int, int]]:
    """Return what tells of a container (bytes of what it wrote, bytes of that and its image).

    It blocks on the disk, and looks at each image once.
    """

    @functools.cache
    def image_bytes(image_id: str) -> int:
        try:
            return service.images.resolve(image_id).unpacked_size
        except ImageError:
            return 0

    def sizes_of(record: ContainerRecord) -> tuple[int, int]:
        written = bytes_below(service.containers.directory(record.id) / "layer" / "u")
        return written, written + image_bytes(record.image_id)

    return sizes_of
