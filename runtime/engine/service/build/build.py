"""`POST /build` without HTTP: build a named image from the bytes of a context."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from runtime.engine.errors import BuildError
from runtime.engine.service.build.bases import Bases
from runtime.engine.service.build.builder import Builder
from runtime.engine.service.build.context import Context, open_context
from runtime.engine.service.build.options import BuildOptions
from runtime.engine.service.images.images import publish
from runtime.engine.service.model.piping import feed
from runtime.engine.service.model.progress import HeldLines, Lines
from runtime.image.errors import LayerError
from runtime.image.layers.store_files import scratch_directory
from runtime.image.store.image import Image

if TYPE_CHECKING:
    from runtime.engine.service.service import Service
    from runtime.image.layers.pipeline import Readable
    from runtime.image.registry.credentials import Credential


async def build(
    service: Service,
    chunks: AsyncIterable[bytes],
    options: BuildOptions,
    lines: Lines,
    *,
    credentials: Mapping[str, Credential] | None = None,
) -> str:
    """Build an image of a context (a tar, in whatever compression, or the options' URL); return its id.

    Reports in `lines` what docker does: for a quiet build the id, or everything when it fails. Raises
    DockerfileError for what cannot be built at all, BuildError for a step that failed, ImageError.
    """
    options = options.checked()
    if not options.quiet:
        return await _build(service, chunks, options, lines, lines, credentials)
    held = HeldLines()
    try:
        return await _build(service, chunks, options, lines, held, credentials)
    except Exception:
        held.release(lines)
        raise


async def _build(
    service: Service,
    chunks: AsyncIterable[bytes],
    options: BuildOptions,
    lines: Lines,
    said: Lines,
    credentials: Mapping[str, Credential] | None,
) -> str:
    """said: gets the output of the steps."""
    with service.images.pins.holding() as holder:
        async with _scratch(service) as scratch:
            context = await _context(service, chunks, options, scratch)
            bases = Bases(
                service, said, always_pull=options.pull, platform=options.platform, credentials=credentials
            )
            image = await Builder(service, options, said, bases, scratch, holder).run(context)
        await _name(service, image, options, lines)
    return image.id


async def _name(service: Service, image: Image, options: BuildOptions, lines: Lines) -> None:
    if options.quiet:
        lines.stream(f"{image.id}\n")
    else:
        lines.stream(f"Successfully built {image.id.removeprefix('sha256:')[:12]}\n")
    for name in options.tags:
        tagged = await asyncio.to_thread(service.images.tag, image.id, name)
        publish(service, "tag", tagged.id, name, tagged.execution.labels)
        if not options.quiet:
            lines.stream(f"Successfully tagged {name}\n")


async def _context(
    service: Service, chunks: AsyncIterable[bytes], options: BuildOptions, scratch: Path
) -> Context:
    def read(stream: Readable) -> Context:
        return open_context(stream, options.remote, options.dockerfile, scratch, service.images.limits)

    try:
        return await feed(chunks, read)
    except LayerError as error:
        raise BuildError(f"Error processing tar file: {error}") from error


@asynccontextmanager
async def _scratch(service: Service) -> AsyncIterator[Path]:
    held = scratch_directory(service.images.content.tmp)
    path = await asyncio.to_thread(held.__enter__)
    try:
        yield path
    finally:
        await asyncio.shield(asyncio.to_thread(held.__exit__, None, None, None))
