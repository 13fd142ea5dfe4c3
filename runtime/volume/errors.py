"""Errors of the volume room: each names the operation, the volume, the cause."""

from __future__ import annotations


class VolumeError(Exception):
    """A volume could not be made, filled, mounted or removed."""


class VolumeNotFoundError(VolumeError):
    """No volume has this name."""


class VolumeConflictError(VolumeError):
    """A volume of this name is another one than what was asked for."""


class BadVolumeError(VolumeError):
    """The name or the options make no sense, whatever exists."""
