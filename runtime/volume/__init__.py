"""Named volumes: directories that outlive containers, filled once, mounted as their options say."""

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
