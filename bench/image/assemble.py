"""From two root directories to a finished image in the cache, and back from the cache to a BenchImage."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec

from bench.backends.base import BenchImage
from bench.image.difference import difference
from bench.image.recipe import Recipe

RECORD = "image.json"
REFERENCE = "ninetynine/bench"


class _Record(msgspec.Struct, frozen=True, kw_only=True):
    """What `load` needs, with paths relative to the image's directory."""

    reference: str
    digest: str
    layer_digests: tuple[str, ...]
    layers: tuple[str, ...]
    source: str


def assemble(recipe: Recipe, base: Path, full: Path, final: Path, work: Path) -> None:
    """Make layers, flattened root and record, and put them at `final`; the record comes last."""
    final.mkdir()
    upper = work / "tools"
    difference(base, full, upper)
    layers = (base, upper)
    digest, digests = digest_of(layers)
    (final / "layers").mkdir()
    for number, layer in enumerate(layers):
        layer.rename(final / "layers" / str(number))
    full.rename(final / "rootfs")
    record = _Record(
        reference=f"{REFERENCE}:{recipe.digest[:16]}",
        digest=digest,
        layer_digests=digests,
        layers=tuple(f"layers/{number}" for number in range(len(layers))),
        source=f"mmdebstrap {recipe.distribution} {recipe.suite} {recipe.machine}",
    )
    _write(final / RECORD, msgspec.json.encode(record))


def load(directory: Path) -> BenchImage:
    """Return the finished image in `directory`."""
    record = msgspec.json.decode((directory / RECORD).read_bytes(), type=_Record)
    return BenchImage(
        layout=directory / "layout",
        reference=record.reference,
        digest=record.digest,
        layer_digests=record.layer_digests,
        layers=tuple(directory / name for name in record.layers),
        rootfs=directory / "rootfs",
        source=record.source,
    )


def digest_of(layers: Sequence[Path]) -> tuple[str, tuple[str, ...]]:
    """Return the digest of an image with these layer directories, and those of the layers."""
    digests = tuple(_tree_digest(layer) for layer in layers)
    return "sha256:" + hashlib.sha256("".join(digests).encode()).hexdigest(), digests


def _write(path: Path, data: bytes) -> None:
    part = path.with_suffix(".part")
    part.write_bytes(data)
    part.rename(path)


def _tree_digest(root: Path) -> str:
    total = hashlib.sha256()
    for directory, names, files in os.walk(root):
        names.sort()
        for name in sorted([*files, *names]):
            path = Path(directory, name)
            info = path.lstat()
            line = f"{path.relative_to(root)}\0{info.st_mode}\0{info.st_uid}\0{info.st_gid}\0{info.st_rdev}\0"
            total.update(line.encode())
            if stat.S_ISLNK(info.st_mode):
                total.update(os.fsencode(path.readlink()))
            elif stat.S_ISREG(info.st_mode):
                total.update(hashlib.sha256(path.read_bytes()).digest())
    return "sha256:" + total.hexdigest()
