"""From two root directories to a finished image in the cache, and back from the cache to a BenchImage."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bench.backends.base import BenchImage
from bench.image.difference import difference
from bench.image.errors import ImageError
from bench.image.recipe import Recipe
from runtime import image as oci

RECORD = "image.json"
NAME = "ninetynine/bench"


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """Which image of the layout this is, and what it was made of."""

    reference: str
    source: str


def assemble(recipe: Recipe, base: Path, full: Path, final: Path, work: Path) -> None:
    """Add both layers to the layout beside `final` and finish there."""
    tools = work / "tools"
    difference(base, full, tools)
    reference = f"{NAME}:{recipe.digest[:16]}"
    store = oci.ImageStore(layout_of(final))
    execution = oci.Execution(cmd=["/opt/ninetynine/idle"], env=["PATH=/usr/sbin:/usr/bin:/sbin:/bin"])
    store.create(reference, (base, tools), oci.ImageConfig(config=execution))
    finish(store, reference, f"mmdebstrap {recipe.distribution} {recipe.suite} {recipe.machine}", final)


def finish(store: oci.ImageStore, reference: str, source: str, final: Path) -> None:
    """Flatten an image of the layout into `final/rootfs` and write the record that makes it complete."""
    final.mkdir()
    store.flatten(reference, final / "rootfs")
    part = final / f"{RECORD}.part"
    part.write_bytes(msgspec.json.encode(_Record(reference=reference, source=source)))
    part.rename(final / RECORD)


def load(directory: Path) -> BenchImage:
    """Return the finished image in `directory`; ImageError when the layout does not have it any more."""
    record = msgspec.json.decode((directory / RECORD).read_bytes(), type=_Record)
    try:
        found = oci.ImageStore(layout_of(directory)).resolve(record.reference)
    except oci.ImageError as error:
        raise ImageError(f"load the bench image: {error}; remove {directory} and build again") from error
    return BenchImage(
        layout=layout_of(directory),
        reference=record.reference,
        digest=found.digest,
        layer_digests=tuple(layer.digest for layer in found.layers),
        layers=found.layer_dirs,
        rootfs=directory / "rootfs",
        source=record.source,
    )


def layout_of(directory: Path) -> Path:
    """Return the OCI image layout that all images of this cache share."""
    return directory.parent / "layout"


def digest_of(image: BenchImage) -> str:
    """Hash blobs and unpacked layers again; ImageError names what changed."""
    try:
        return oci.ImageStore(image.layout).verify(image.reference).digest
    except oci.ImageError as error:
        raise ImageError(f"the bench image is not what it was: {error}") from error
