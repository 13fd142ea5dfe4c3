"""Find the images that a build begins with or copies from, here or in a registry."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from runtime.engine.errors import BuildError
from runtime.engine.service.model.progress import Lines
from runtime.image.errors import ImageError, ImageNotFoundError, ImageReferenceError
from runtime.image.references import parse_reference
from runtime.image.registry.cancel import CancelToken
from runtime.image.registry.credentials import Credential, key_of
from runtime.image.registry.platforms import from_document, parse_platform, rank
from runtime.image.store.image import Image

if TYPE_CHECKING:
    from runtime.engine.service.service import Service


class Bases:
    """Finds images by name. always_pull: ask the registry first. credentials: by the registry's key.

    platform: for images whose FROM does not give one; "" is any.
    """

    def __init__(
        self,
        service: Service,
        lines: Lines,
        *,
        always_pull: bool = False,
        platform: str = "",
        credentials: Mapping[str, Credential] | None = None,
    ) -> None:
        self._service, self._lines = service, lines
        self._always_pull, self._credentials = always_pull, credentials or {}
        self._platform = platform

    async def find(self, name: str, platform: str = "") -> Image:
        """Return the image of a name, pulled where needed. Raises BuildError, ImageError."""
        store, platform = self._service.images, platform or self._platform
        if not self._always_pull:
            try:
                image = await asyncio.to_thread(store.resolve, name)
                if _suits(image, platform):
                    return image
            except ImageNotFoundError:
                pass
            except ImageReferenceError as error:
                raise BuildError(f"failed to parse stage name {name!r}: {error}") from error
            except ImageError as error:
                raise BuildError(str(error)) from error
        return await self._pull(name, platform)

    async def _pull(self, name: str, platform: str) -> Image:
        reference = parse_reference(name).tagged()
        cancel = CancelToken()

        def progress(message: Any) -> None:
            self._lines.emit(msgspec.to_builtins(message))

        def pull() -> Image:
            pulled = self._service.registry.pull(
                self._service.images,
                str(reference),
                platform=platform,
                credential=self._credentials.get(key_of(reference.host)),
                progress=progress,
                cancel=cancel,
            )
            return pulled.image

        try:
            image = await asyncio.to_thread(pull)
        except ImageError as error:
            raise BuildError(str(error)) from error
        finally:
            cancel.abort()
        self._service.events.publish("image", "pull", str(reference), {"name": reference.repository})
        return image


def _suits(image: Image, platform: str) -> bool:
    """Say whether an image is for a platform; one that does not name its own is for all."""
    config = image.config
    if not platform or not config.architecture:
        return True
    is_for = from_document({"os": config.os, "architecture": config.architecture, "variant": config.variant})
    return rank(parse_platform(platform), is_for) is not None
