"""Where anonymous volumes may lie: nowhere over a file that the image has. Blocking."""

from __future__ import annotations

from collections.abc import Iterable

from runtime.engine.errors import BadParameterError
from runtime.image.layers.layer_view import Merged


def check_places(tree: Merged, paths: Iterable[str]) -> None:
    """Raise BadParameterError, in docker's words, for a volume's path that is a file."""
    for path in paths:
        node = tree.find(path)
        if node is not None and not node.is_directory:
            raise BadParameterError(f"cannot mount volume over existing file, file exists {path}")
