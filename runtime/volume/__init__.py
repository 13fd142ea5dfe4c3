"""Named volumes: directories that outlive containers, made once, filled once, mounted where their options say."""

from runtime.volume.errors import VolumeConflictError, VolumeError, VolumeNotFoundError
from runtime.volume.model import Volume
from runtime.volume.store import VolumeStore

__all__ = ["Volume", "VolumeConflictError", "VolumeError", "VolumeNotFoundError", "VolumeStore"]
