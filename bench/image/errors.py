"""The one exception of the image room."""

from __future__ import annotations


class ImageError(Exception):
    """The bench image could not be made: names the step, what failed, and what to do next."""
