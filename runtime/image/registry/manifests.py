"""Parse and check the manifests and indexes that registries send: OCI 1.1 and Docker schema 2."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from runtime.image.documents import (
    CONFIG,
    DOCKER_INDEX,
    DOCKER_MANIFEST,
    INDEX,
    INDEXES,
    MANIFEST,
    MANIFESTS,
    Descriptor,
    Manifest,
    digest_of,
)
from runtime.image.registry.platforms import Platform, from_document, rank
from runtime.image.registry.registry_errors import RegistryDataError, RegistryError, RegistryNotFoundError
from runtime.image.store.image import MAX_LAYERS

_DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1"
ACCEPT = ", ".join((INDEX, MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST))

_CONFIGS = (CONFIG, "application/vnd.docker.container.image.v1+json")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MOST_ENTRIES = 1000


class ManifestDocument(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest or index: its bytes as they came, their digest, and its media type."""

    data: bytes
    digest: str
    media_type: str

    @property
    def is_index(self) -> bool:
        """Whether it lists images of several platforms."""
        return self.media_type in INDEXES


class _RawDescriptor(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    digest: str
    size: int
    media_type: str = ""
    annotations: dict[str, Any] | None = None
    platform: dict[str, Any] | None = None


class _RawDocument(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    schema_version: int
    media_type: str = ""
    config: _RawDescriptor | None = None
    layers: tuple[_RawDescriptor, ...] | None = None
    manifests: tuple[_RawDescriptor, ...] | None = None


def read_document(data: bytes, content_type: str, what: str) -> ManifestDocument:
    """Identify what a registry sent for `what`. Raises RegistryDataError, RegistryError for other kinds.

    The document's own media type counts before the header's, which is often wrong in the wild.
    """
    raw = _decode(data, what)
    said = raw.media_type or content_type.partition(";")[0].strip()
    if raw.schema_version == 1 or said.startswith(_DOCKER_SCHEMA1):
        raise RegistryError(
            f"{what} is a manifest of Docker's schema 1, which is no longer supported; push the image again"
        )
    if raw.manifests is not None and raw.layers is None:
        media_type = said if said in INDEXES else INDEX
    elif raw.layers is not None and raw.config is not None and raw.manifests is None:
        media_type = said if said in MANIFESTS else MANIFEST
    else:
        raise RegistryDataError(f"{what} is neither an image's manifest nor an index; check the name")
    return ManifestDocument(data=data, digest=digest_of(data), media_type=media_type)


def read_manifest(document: ManifestDocument, what: str) -> Manifest:
    """Parse one image's manifest. Raises RegistryDataError; RegistryError when it is not an image."""
    raw = _decode(document.data, what)
    if raw.config is None or raw.layers is None:
        raise RegistryDataError(f"{what} is neither an image's manifest nor an index; check the name")
    if raw.config.media_type not in _CONFIGS:
        raise RegistryError(f"{what} is not a container image: its config is {raw.config.media_type[:100]!r}")
    if len(raw.layers) > MAX_LAYERS:
        raise RegistryDataError(
            f"{what} has {len(raw.layers)} layers; overlayfs supports {MAX_LAYERS}; refused"
        )
    return Manifest(
        config=_descriptor(raw.config, what), layers=tuple(_descriptor(layer, what) for layer in raw.layers)
    )


def offers(document: ManifestDocument, what: str) -> list[tuple[Descriptor, Platform | None]]:
    """Return an index's manifests: descriptors, and platforms where given."""
    raw = _decode(document.data, what)
    entries = raw.manifests or ()
    if len(entries) > _MOST_ENTRIES:
        raise RegistryDataError(f"{what} lists {len(entries)} manifests; refused, check the name")
    found = []
    for entry in entries:
        platform = from_document(entry.platform) if entry.platform else None
        found.append((_descriptor(entry, what), platform))
    return found


def choose(document: ManifestDocument, wanted: Platform, what: str) -> Descriptor:
    """Choose the image of an index that fits a platform best. Raises RegistryNotFoundError."""
    ranked = []
    for number, (descriptor, platform) in enumerate(offers(document, what)):
        suits = rank(wanted, platform) if platform is not None else None
        if suits is not None:
            ranked.append((suits, number, descriptor))
    if not ranked:
        raise RegistryNotFoundError(
            f"no matching manifest for {wanted} in the manifest list entries of {what}; "
            "choose another platform"
        )
    return min(ranked, key=lambda entry: entry[:2])[2]


def _descriptor(entry: _RawDescriptor, what: str) -> Descriptor:
    if not _DIGEST.fullmatch(entry.digest):
        raise RegistryDataError(f"{what} names a digest {entry.digest[:100]!r}; only sha256 is supported")
    if not 0 <= entry.size < 1 << 50:
        raise RegistryDataError(f"{what} gives a size of {entry.size} bytes, which is impossible; refused")
    return Descriptor(media_type=entry.media_type, digest=entry.digest, size=entry.size)


def _decode(data: bytes, what: str) -> _RawDocument:
    try:
        return msgspec.json.decode(data, type=_RawDocument)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise RegistryDataError(f"{what} is malformed: {error}; refused, push the image again") from error
