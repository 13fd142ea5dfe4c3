"""From root directories to a finished image in the cache, and back from the cache to a BenchImage.

A cache holds one OCI image layout (`layout/`) and, for each image, a directory with the flattened root and
a record; an image without its record is not finished.
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
    """Which image of the layout this is, and what it was made of."""

    reference: str
    source: str


def has_system(images: Path, recipe: Recipe) -> bool:
    """Say whether the layers of this recipe's bootstrap are in the layout already."""
    try:
        store(images).resolve(_system_reference(recipe))
    except errors.ImageError:
        return False
    return True


def add_system(images: Path, recipe: Recipe, base: Path, full: Path, work: Path) -> None:
    """Add a bootstrap's two roots as two layers: the first, and what the second has beyond it."""
    tools = work / "tools"
    difference(base, full, tools)
    trim.set_times(tools, recipe.epoch)
    store(images).create(_system_reference(recipe), (base, tools))


def add_image(images: Path, recipe: Recipe, work: Path) -> Path:
    """Put the layer of our own programs on the system's, flatten the whole; return the image's directory."""
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

    ImageError when one of the paths `needed` is not in there.
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
    """Say whether an image was finished in `directory`."""
    return (directory / RECORD).exists()


def store(images: Path) -> ImageStore:
    """Return the OCI image layout that all images of a cache share."""
    return ImageStore(images / "layout")


def load(directory: Path) -> BenchImage:
    """Return the finished image in `directory`; ImageError when the layout does not have it any more."""
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
    """Hash blobs and unpacked layers again; ImageError names what changed."""
    try:
        return ImageStore(image.layout).verify(image.reference).digest
    except errors.ImageError as error:
        raise ImageError(f"the bench image is not what it was: {error}") from error


def _system_reference(recipe: Recipe) -> str:
    return f"{NAME}-system:{recipe.system_digest[:16]}"
