"""Errors of volumes: each names the operation, the volume, the cause."""

from __future__ import annotations


class VolumeError(Exception):
    """A volume could not be created, filled, mounted or removed."""


class VolumeNotFoundError(VolumeError):
    """No volume has this name."""


class VolumeConflictError(VolumeError):
    """A volume of this name exists with other options."""


class BadVolumeError(VolumeError):
    """The name or the options are invalid."""
