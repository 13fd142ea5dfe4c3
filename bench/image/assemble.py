"""Make a finished image in the cache from root directories, and load a BenchImage from the cache.

A cache has one OCI image layout (`layout/`) and, per image, a directory with the flattened root and a record.
The record is written last, so an image without it is not finished.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.backends.base import BenchImage
from bench.image import trim, workloads
from bench.image.difference import difference
from bench.image.recipe import ImageError, Recipe, sources
from runtime.image import errors
from runtime.image.documents import Execution, ImageConfig
from runtime.image.store.image_store import ImageStore

RECORD = "image.json"
NAME = "ninetynine/bench"


class _ImageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """The image's reference in the layout, and what it was made from."""

    reference: str
    source: str


def has_system(images: Path, recipe: Recipe) -> bool:
    """Return whether the layers of this recipe's bootstrap are already in the layout."""
    try:
        store(images).resolve(_system_reference(recipe))
    except errors.ImageError:
        return False
    return True


def add_system(images: Path, recipe: Recipe, base: Path, full: Path, work: Path) -> None:
    """Add a bootstrap's two roots as two layers: the first, and the difference to the second."""
    tools = work / "tools"
    difference(base, full, tools)
    trim.set_times(tools, recipe.epoch)
    store(images).create(_system_reference(recipe), (base, tools))


def add_image(images: Path, recipe: Recipe, work: Path) -> Path:
    """Add the layer of our programs to those of the system and flatten; return the image's directory."""
    programs = work / "programs"
    workloads.compile_all(sources(), programs / "opt/ninetynine", recipe.epoch)
    trim.set_times(programs, recipe.epoch)
    layout = store(images)
    system = layout.resolve(_system_reference(recipe))
    reference = f"{NAME}:{recipe.digest[:16]}"
    execution = Execution(cmd=["/opt/ninetynine/idle"], env=["PATH=/usr/sbin:/usr/bin:/sbin:/bin"])
    layout.create(reference, (*system.layers, programs), ImageConfig(config=execution))
    final = directory_of(images, recipe.digest)
    finish(images, reference, f"mmdebstrap {recipe.distribution} {recipe.suite} {recipe.machine}", final)
    return final


def finish(images: Path, reference: str, source: str, final: Path, needed: Sequence[str] = ()) -> None:
    """Flatten an image of the layout into `final/rootfs`, then write the record that makes it complete.

    Raises ImageError if one of the paths `needed` is missing.
    """
    if final.exists():
        shutil.rmtree(final)
    final.mkdir()
    store(images).flatten(reference, final / "rootfs")
    missing = [name for name in needed if not (final / "rootfs" / name).exists()]
    if missing:
        raise ImageError(
            f"use the image {source}: it has no /{', no /'.join(missing)}; build it with this project"
        )
    part = final / f"{RECORD}.part"
    part.write_bytes(msgspec.json.encode(_ImageRecord(reference=reference, source=source)))
    part.rename(final / RECORD)


def directory_of(images: Path, digest: str) -> Path:
    """Return the directory of the image with this recipe or manifest digest (hexadecimal)."""
    return images / digest[:16]


def is_complete(directory: Path) -> bool:
    """Return whether the image in `directory` is finished."""
    return (directory / RECORD).exists()


def store(images: Path) -> ImageStore:
    """Return the OCI image layout that all images of a cache share."""
    return ImageStore(images / "layout")


def load(directory: Path) -> BenchImage:
    """Return the finished image in `directory`; ImageError if it is no longer in the layout."""
    record = msgspec.json.decode((directory / RECORD).read_bytes(), type=_ImageRecord)
    try:
        found = store(directory.parent).resolve(record.reference)
    except errors.ImageError as error:
        raise ImageError(f"load the bench image: {error}; remove {directory} and build again") from error
    return BenchImage(
        layout=directory.parent / "layout",
        reference=record.reference,
        digest=found.digest,
        layer_digests=tuple(layer.digest for layer in found.layers),
        layers=found.layer_dirs,
        rootfs=directory / "rootfs",
        source=record.source,
    )


def digest_of(image: BenchImage) -> str:
    """Hash blobs and unpacked layers again; ImageError names what has changed."""
    try:
        return ImageStore(image.layout).verify(image.reference).digest
    except errors.ImageError as error:
        raise ImageError(f"the bench image is not what it was: {error}") from error


def _system_reference(recipe: Recipe) -> str:
    return f"{NAME}-system:{recipe.system_digest[:16]}"
