"""What a container uses, second by second, in Docker's JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.engine.service.service import Service


def stats(
    service: Service, ref: str, *, stream: bool = True, one_shot: bool = False
) -> AsyncIterator[dict[str, Any]]:
    """Yield a document a second until the container is removed; without `stream` one, of one second's work.

    one_shot: at once, without a first look to compare with. A container that does not run has an empty one.
    Raises NotFoundError at once, not at the first item.
    """
    raise NotImplementedError
