"""Operations on images, and their events. The store blocks, so it runs in threads."""

from __future__ import annotations

import asyncio
import functools
import io
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from runtime.engine.errors import BadParameterError
from runtime.engine.service.dockerfile.config_instructions import apply_changes
from runtime.engine.service.images.download import open_url
from runtime.engine.service.images.image_config import ImageDocument, child_document, write_document
from runtime.engine.service.model.filters import Filters
from runtime.engine.service.model.piping import drain, feed
from runtime.engine.service.model.progress import Lines
from runtime.engine.service.model.request import Config
from runtime.image.archives import saving
from runtime.image.archives.loading import Loaded, load
from runtime.image.layers.compression import PlainReader
from runtime.image.layers.pipeline import Readable
from runtime.image.references import named_reference
from runtime.image.registry.platforms import parse_platform
from runtime.image.store.image import Image
from runtime.image.store.removal import LayerRemoval, Removal, Use, UsedBy

if TYPE_CHECKING:
    from runtime.engine.service.service import Service

_EMPTY_TAR = bytes(1024)


def publish(
    service: Service, action: str, image_id: str, name: str = "", labels: Mapping[str, str] | None = None
) -> None:
    """Publish an event of an image; its name is the id where it has none."""
    service.events.publish("image", action, image_id, {**(labels or {}), "name": name or image_id})


def uses(service: Service) -> UsedBy:
    """Return a function that lists what uses an image: its containers, and builds.

    It looks at its first call, which a removal makes with the list of images locked: so a container created
    at the same time is seen, or does not find its image (create.py).
    """
    build = (Use(container="of a build", running=True),)

    @functools.cache
    def by_image() -> dict[str, list[Use]]:
        table: dict[str, list[Use]] = {}
        for record in service.containers.list(all=True):
            use = Use(container=record.id, running=record.state.running)
            table.setdefault(record.image_id, []).append(use)
        return table

    return lambda image_id: (
        *by_image().get(image_id, ()),
        *(build if image_id in service.images.pins else ()),
    )


# ---- names and ends -------------------------------------------------------------------------------------


async def tag(service: Service, reference: str, repository: str, tag: str = "") -> None:
    """Add a name to an image. ImageNotFoundError, ImageReferenceError."""
    name = named_reference(repository, tag)
    image = await asyncio.to_thread(service.images.tag, reference, name)
    publish(service, "tag", image.id, name, image.execution.labels)


async def remove(
    service: Service, reference: str, *, force: bool = False, prune: bool = True
) -> tuple[Removal, ...]:
    """Remove a name or an image, by docker's rules. ImageNotFoundError, ImageConflictError."""
    used_by = uses(service)
    image_id = await asyncio.to_thread(service.images.find_id, reference)
    rows = await asyncio.to_thread(
        lambda: service.images.remove(reference, force=force, prune=prune, used_by=used_by)
    )
    _publish_removals(service, rows, lambda _: image_id)
    return rows


async def prune(service: Service, filters: Filters | None = None) -> tuple[tuple[Removal, ...], int]:
    """Remove images that nothing uses; return docker's rows and the bytes freed."""
    used_by = uses(service)
    known = await asyncio.to_thread(service.images.summaries, {}, intermediate=True)
    ids = {name: row.id for row in known for name in (*row.names, *row.repo_digests)}
    rows, freed = await asyncio.to_thread(service.images.prune_images, filters or {}, used_by)
    _publish_removals(service, rows, lambda name: ids.get(name, ""))
    service.events.publish("image", "prune", "", {"reclaimed": str(freed)})
    return rows, freed


def _publish_removals(service: Service, rows: Sequence[Removal], id_of: Callable[[str], str]) -> None:
    for row in rows:
        if row.untagged:
            publish(service, "untag", id_of(row.untagged))
        elif not isinstance(row, LayerRemoval):
            publish(service, "delete", row.deleted)


# ---- archives -------------------------------------------------------------------------------------------


async def save(service: Service, references: Sequence[str]) -> AsyncIterator[bytes]:
    """Return an archive of these images. Raises at once for unknown ones."""
    if not references:
        raise BadParameterError("no images named: give at least one name to save")
    chosen = await asyncio.to_thread(saving.choose, service.images, references)
    for choice in chosen:
        publish(service, "save", choice.image.id)
    return drain(lambda: saving.save(service.images, chosen))


async def load_images(
    service: Service, chunks: AsyncIterable[bytes], lines: Lines, *, quiet: bool = False
) -> list[Loaded]:
    """Load all images of an archive as it arrives, and report them in docker's words."""

    def report(diff_id: str, size: int) -> None:
        if not quiet:
            short = diff_id.removeprefix("sha256:")[:12]
            detail = {"current": size, "total": size}
            words = {"status": "Loading layer", "id": short, "progress": _bar(size)}
            lines.emit({**words, "progressDetail": detail})

    found = await feed(chunks, lambda source: load(service.images, source, report))
    for loaded in found:
        for name, old in loaded.lost.items():
            lines.stream(
                f"The image {name} already exists, renaming the old one with ID {old} to empty string\n"
            )
        for name in loaded.names:
            lines.stream(f"Loaded image: {name}\n")
        if not loaded.names:
            lines.stream(f"Loaded image ID: {loaded.image.id}\n")
        publish(service, "load", loaded.image.id)
    return found


def _bar(size: int) -> str:
    value = float(size)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"[{'=' * 50}>]  {value:.4g}{unit}/{value:.4g}{unit}"


async def import_tar(
    service: Service,
    source: str,
    chunks: AsyncIterable[bytes],
    lines: Lines,
    *,
    repository: str = "",
    tag: str = "",
    message: str = "",
    changes: Sequence[str] = (),
    platform: str = "",
) -> str:
    """Make an image of one layer from a root file system's tar; source: `-` for the chunks, or an URL."""
    names = (named_reference(repository, tag),) if repository else ()
    document = _document(apply_changes(changes, Config()), platform, message or f"Imported from {source}")
    if source == "-":
        image = await feed(chunks, lambda stream: _import(service, stream, names, document))
    else:
        lines.emit({"status": f"Downloading from {source}"})
        image = await asyncio.to_thread(_import_url, service, source, names, document)
    for name in names:
        publish(service, "tag", image.id, name)
    publish(service, "import", image.id)
    lines.emit({"status": image.id})
    return image.id


def _document(config: Config, platform: str, comment: str) -> ImageDocument:
    found = parse_platform(platform)
    return ImageDocument(
        architecture=found.architecture, variant=found.variant, os=found.os, config=config, comment=comment
    )


def _import_url(service: Service, url: str, names: tuple[str, ...], document: ImageDocument) -> Image:
    with open_url(url) as answer:
        return _import(service, answer.stream, names, document)


def _import(service: Service, stream: Readable, names: tuple[str, ...], document: ImageDocument) -> Image:
    store = service.images
    with store.adding():
        plain = io.BufferedReader(PlainReader(stream, store.limits))
        source = plain if plain.peek(1) else io.BytesIO(_EMPTY_TAR)  # docker takes nothing for such a one
        layer = store.content.add_stream(source)
        made = child_document(document, document.config, diff_id=layer.diff_id, comment=document.comment)
        return store.register(names, (layer,), write_document(made))
