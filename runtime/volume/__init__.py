"""Volumes: directories that outlive containers, filled once from an image, mounted by their options."""

from runtime.volume.errors import BadVolumeError, VolumeConflictError, VolumeError, VolumeNotFoundError
from runtime.volume.store import Volume, VolumeStore

__all__ = [
    "BadVolumeError",
    "Volume",
    "VolumeConflictError",
    "VolumeError",
    "VolumeNotFoundError",
    "VolumeStore",
]
