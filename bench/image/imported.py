"""Import the bench image from an OCI image layout, for machines that cannot build it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from bench.image import assemble
from bench.image.recipe import ImageError

_REF_NAME = "org.opencontainers.image.ref.name"
_MANIFEST_TYPES = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
NEEDED = ("opt/ninetynine/first", "opt/ninetynine/idle", "usr/bin/sysbench", "usr/bin/fio", "usr/bin/iperf3")


def adopt(given: str, images: Path, tell: Callable[[str], None]) -> Path:
    """Bring `LAYOUT[:REFERENCE]` into the cache `images` and return the image's directory.

    Every blob's digest is checked. Raises ImageError when the layout, the reference or a program is missing.
    """
    layout, reference = _split(given)
    described = _find(layout, reference)
    final = assemble.directory_of(images, described["digest"].removeprefix("sha256:"))
    if assemble.is_complete(final):
        return final
    tell(f"importing the image from {layout}")
    manifest = msgspec.json.decode(_blob(layout, described["digest"]).read_bytes())
    store = assemble.store(images)
    layers = [store.add_layer(_checked(layout, layer["digest"])) for layer in manifest["layers"]]
    name = f"{assemble.NAME}:{final.name}"
    store.register(name, layers, _checked(layout, manifest["config"]["digest"]).read_bytes())
    assemble.finish(images, name, f"OCI image layout {layout}", final, NEEDED)
    return final


def _split(given: str) -> tuple[Path, str]:
    if (Path(given) / "index.json").exists():
        return Path(given), ""
    path, _, reference = given.partition(":")
    return Path(path), reference


def _find(layout: Path, reference: str) -> dict[str, Any]:
    index = layout / "index.json"
    try:
        manifests = msgspec.json.decode(index.read_bytes())["manifests"]
    except (OSError, msgspec.DecodeError, KeyError, TypeError) as error:
        raise ImageError(
            f"import an image: {index} is not an OCI image layout: {error}; check NINETYNINE_IMAGE"
        ) from error
    found = [
        entry
        for entry in manifests
        if entry.get("mediaType") in _MANIFEST_TYPES
        and reference in ("", entry.get("annotations", {}).get(_REF_NAME))
    ]
    if len(found) != 1:
        names = [entry.get("annotations", {}).get(_REF_NAME, "(no name)") for entry in manifests]
        raise ImageError(
            f"import an image from {layout}: {len(found)} images match {reference or '(any)'}, not one; "
            f"it has {', '.join(names) or 'none'}: set NINETYNINE_IMAGE={layout}:NAME"
        )
    return dict(found[0])


def _blob(layout: Path, digest: str) -> Path:
    algorithm, _, value = digest.partition(":")
    return layout / "blobs" / algorithm / value


def _checked(layout: Path, digest: str) -> Path:
    path = _blob(layout, digest)
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != f"sha256:{found}":
        raise ImageError(
            f"import an image: {path} has digest sha256:{found}; the copy is damaged, make it again"
        )
    return path
