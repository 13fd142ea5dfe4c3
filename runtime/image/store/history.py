"""An image's history as docker shows it, newest step first."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from runtime.image.documents import HistoryRow
from runtime.image.errors import ImageError

if TYPE_CHECKING:
    from runtime.image.store.image import Image
    from runtime.image.store.image_store import ImageStore

MISSING = "<missing>"


class HistoryStep(msgspec.Struct, frozen=True, kw_only=True):
    """One step. id: of the resulting image if that is in the store, else `<missing>`. size: of its files.

    created: RFC 3339 or "". empty: it added no layer.
    """

    id: str
    created: str
    created_by: str
    comment: str
    size: int
    names: tuple[str, ...]
    empty: bool


def history(store: ImageStore, image: Image) -> tuple[HistoryStep, ...]:
    """Return an image's steps; one per layer if its config has no history."""
    rows = list(image.config.history or ())
    if not rows:
        rows = [HistoryRow(created=image.config.created) for _ in image.layers]
    sizes = iter(store.content.unpacked_bytes(diff_id) for diff_id in image.config.rootfs.diff_ids)
    steps = [_step(row, 0 if row.empty_layer else next(sizes, 0)) for row in rows]
    steps.reverse()
    return tuple(_with_ids(store, image, steps))


def _step(row: HistoryRow, size: int) -> HistoryStep:
    return HistoryStep(
        id=MISSING,
        created=row.created or "",
        created_by=row.created_by or "",
        comment=row.comment or "",
        size=size,
        names=(),
        empty=bool(row.empty_layer),
    )


def _with_ids(store: ImageStore, image: Image, steps: list[HistoryStep]) -> list[HistoryStep]:
    """Add the ids of the images that it was built from here, as far as each added one step."""
    current: Image | None = image
    for number, step in enumerate(steps):
        if current is None:
            break
        steps[number] = msgspec.structs.replace(step, id=current.id, names=current.names)
        current = _parent(store, current, len(steps) - number - 1)
    return steps


def _parent(store: ImageStore, image: Image, steps: int) -> Image | None:
    if not image.parent:
        return None
    try:
        parent = store.resolve(image.parent)
    except ImageError:
        return None
    return parent if len(parent.config.history or parent.layers) == steps else None
