"""Images: an OCI image layout on disk whose layers are unpacked once and shared by all containers."""

from runtime.image.documents import Execution, ImageConfig
from runtime.image.errors import (
    ImageConflictError,
    ImageError,
    ImageNotFoundError,
    ImageReferenceError,
    LayerError,
)
from runtime.image.layers.layer_reader import UnpackLimits
from runtime.image.layers.layer_store import Layer
from runtime.image.store.image import Image
from runtime.image.store.image_store import ImageStore

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
