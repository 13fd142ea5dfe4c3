"""Images: an OCI image layout on disk whose layers are unpacked once and shared by all containers."""

from runtime.image.documents import Execution, ImageConfig
from runtime.image.errors import ImageError, LayerError
from runtime.image.layers import Layer
from runtime.image.store import Image, ImageStore
from runtime.image.streams import UnpackLimits

__all__ = [
    "Execution",
    "Image",
    "ImageConfig",
    "ImageError",
    "ImageStore",
    "Layer",
    "LayerError",
    "UnpackLimits",
]
