"""Images: an OCI image layout on disk whose layers are unpacked once and shared by all containers."""

from runtime.image.documents import Execution, ImageConfig
from runtime.image.errors import (
    ImageConflictError,
    ImageError,
    ImageNotFoundError,
    ImageReferenceError,
    LayerError,
)
from runtime.image.image import Image
from runtime.image.layers import Layer
from runtime.image.store import ImageStore
from runtime.image.streams import UnpackLimits

__all__ = [
    "Execution",
    "Image",
    "ImageConfig",
    "ImageConflictError",
    "ImageError",
    "ImageNotFoundError",
    "ImageReferenceError",
    "ImageStore",
    "Layer",
    "LayerError",
    "UnpackLimits",
]
