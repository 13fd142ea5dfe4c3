"""Archives of Docker before 1.10 (2016): one directory per step, whose id is not a digest of its content.

dockerd 26 still loads them, and moby's suite checks it (`TestLoadZeroSizeLayer` loads such an archive).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from runtime.image.documents import HistoryRow, RootFs, decode
from runtime.image.errors import ImageError
from runtime.image.layers.layer_store import Layer, LayerStore
from runtime.image.layers.tree import file_digest

_OF_OLD = ("id", "parent", "Size", "parent_id", "layer_id", "throwaway")
"""Fields of a step's document that later configs do not have."""


class OldImage(NamedTuple):
    """An image: its layers are in the store; its config was made from its steps."""

    names: tuple[str, ...]
    layers: tuple[Layer, ...]
    config: bytes


class _Container(msgspec.Struct, frozen=True, kw_only=True):
    command: list[str] = msgspec.field(name="Cmd", default=[])


class _Step(msgspec.Struct, frozen=True, kw_only=True):
    parent: str = ""
    author: str | None = None
    comment: str | None = None
    created: str | None = None
    container_config: _Container = _Container()

    def row(self, *, empty: bool) -> HistoryRow:
        """Return the step as a row of a config's history."""
        return HistoryRow(
            created=self.created,
            created_by=" ".join(self.container_config.command),
            author=self.author,
            comment=self.comment,
            empty_layer=empty or None,
        )


class OldArchive:
    """Finds the images in an archive's members. document: reads a member; on_layer: see OnLayer."""

    def __init__(
        self,
        members: Mapping[str, Path],
        document: Callable[[str], bytes],
        store: LayerStore,
        on_layer: Callable[[str, int], None],
    ) -> None:
        self._members, self._document = members, document
        self._store, self._on_layer = store, on_layer
        found = [
            name.partition("/")[0] for name in members if name.count("/") == 1 and name.endswith("/json")
        ]
        self._steps = {step: decode(document(f"{step}/json"), _Step) for step in found}
        self._layers: dict[str, Layer | None] = {}

    def images(self) -> Iterator[OldImage]:
        """Yield the images that have a name, or that are not the parent of another."""
        names = self._names()
        for missing in names.keys() - self._steps.keys():
            self._chain(missing)
        parents = {step.parent for step in self._steps.values()}
        for one in self._steps:
            if one in names or one not in parents:
                yield self._image(one, tuple(names.get(one, ())))

    def _names(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        repositories = decode(self._document("repositories"), dict[str, dict[str, str]])
        for repository, tags in repositories.items():
            for tag, one in tags.items():
                found.setdefault(one, []).append(f"{repository}:{tag}")
        return found

    def _image(self, top: str, names: tuple[str, ...]) -> OldImage:
        chain = self._chain(top)
        placed = [self._layer(step) for step in chain]
        layers = tuple(layer for layer in placed if layer is not None)
        rows = [self._steps[one].row(empty=layer is None) for one, layer in zip(chain, placed, strict=True)]
        config = decode(self._document(f"{top}/json"), dict[str, Any])
        kept = {name: value for name, value in config.items() if name not in _OF_OLD}
        made = {"rootfs": RootFs(diff_ids=tuple(layer.diff_id for layer in layers)), "history": rows}
        return OldImage(names, layers, msgspec.json.encode(kept | made, order="sorted"))

    def _chain(self, top: str) -> list[str]:
        """Return the steps that made an image, first one first."""
        chain: dict[str, None] = {}
        while top:
            if top in chain or top not in self._steps:
                raise ImageError(
                    f"archive lacks {top[:64]!r}, which an image in it is built from; save the image again"
                )
            chain[top] = None
            top = self._steps[top].parent
        return list(reversed(chain))

    def _layer(self, step: str) -> Layer | None:
        """Return a step's layer, None for a step whose tar is missing or empty."""
        if step not in self._layers:
            path = self._members.get(f"{step}/layer.tar")
            size = path.stat().st_size if path is not None else 0
            self._layers[step] = self._added(step, path, size) if path is not None and size else None
        return self._layers[step]

    def _added(self, step: str, path: Path, size: int) -> Layer:
        """Add a tar to the store. Its size is known from the archive, so its end mark may be missing."""
        diff_id = file_digest(str(path))
        known = self._store.known_layer(diff_id)
        if known is not None:
            return known
        self._on_layer(step, size)
        with path.open("rb") as stream:
            return self._store.add_stream(stream, diff_id=diff_id)
