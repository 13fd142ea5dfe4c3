"""What a container has changed in its image: `docker diff`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.engine.service.request import Body

if TYPE_CHECKING:
    from runtime.engine.service.service import Service

MODIFIED, ADDED, DELETED = 0, 1, 2


class Change(Body):
    """One path that differs from the image's. kind: 0 modified, 1 added, 2 deleted."""

    path: str
    kind: int


async def diff(service: Service, ref: str) -> list[Change]:
    """Return a container's changes, sorted by path. Mount points that every container has are left out."""
    raise NotImplementedError
