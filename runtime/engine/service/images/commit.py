"""`docker commit`: make an image of a container's file system and config."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING

from runtime.engine.errors import ConflictError, ContainerStateError
from runtime.engine.service.dockerfile.config_instructions import apply_changes
from runtime.engine.service.images.image_config import merge_user_config
from runtime.engine.service.images.images import publish
from runtime.engine.service.images.snapshot import snapshot
from runtime.engine.service.model.request import Config
from runtime.image.references import named_reference

if TYPE_CHECKING:
    from runtime.engine.service.service import Service


async def commit(
    service: Service,
    ref: str,
    *,
    repository: str = "",
    tag: str = "",
    comment: str = "",
    author: str = "",
    pause: bool = True,
    changes: Sequence[str] = (),
    config: Config | None = None,
) -> str:
    """Make an image of a container, running or not; return its id.

    A running one is paused for it. changes: instructions such as `CMD ["sh"]`. config: settings that replace
    the container's where they are given. NotFoundError, BadParameterError for an invalid change or name,
    ImageError.
    """
    record = service.containers.get(ref)
    asked = config or merge_user_config(Config(), record.config)
    asked = apply_changes(changes, asked)
    merged = merge_user_config(asked, record.config) if config else asked
    names = (named_reference(repository, tag),) if repository else ()
    upper = service.containers.directory(record.id) / "layer" / "u"
    async with _still(service, record.id, pause=pause and record.state.status == "running"):
        image = await asyncio.to_thread(
            lambda: snapshot(
                service.images,
                service.images.resolve(record.image_id),
                upper,
                merged,
                names=names,
                created_by=" ".join((record.path, *record.args)),
                author=author,
                comment=comment,
            )
        )
    for name in names:
        publish(service, "tag", image.id, name, image.execution.labels)
    more = {"comment": comment, "imageID": image.id, "imageRef": names[0] if names else ""}
    service.containers.publish(record, "commit", more)
    return image.id


@asynccontextmanager
async def _still(service: Service, container_id: str, *, pause: bool) -> AsyncIterator[None]:
    """Pause a container; one that ends just then does not change any more anyway."""
    paused = False
    if pause:
        with suppress(ContainerStateError, ConflictError):
            await service.containers.pause(container_id)
            paused = True
    try:
        yield
    finally:
        if paused:
            with suppress(ContainerStateError, ConflictError):
                await asyncio.shield(service.containers.unpause(container_id))
