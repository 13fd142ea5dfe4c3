"""The one exception of the image room."""

from __future__ import annotations

from bench.backends.base import BackendError


class ImageError(BackendError):
    """The bench image could not be made: names the step, what failed, and what to do next."""
