"""Manifests and indexes as registries send them, OCI 1.1 and Docker schema 2: checked, then believed."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

from runtime.image import documents
from runtime.image.registry.platforms import Platform, from_document, rank
from runtime.image.registry.registry_errors import LyingRegistryError, RegistryError, RegistryNotFoundError
from runtime.image.store.image import MAX_LAYERS

OCI_INDEX, OCI_MANIFEST = documents.INDEX, documents.MANIFEST
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_DOCKER_SCHEMA1 = "application/vnd.docker.distribution.manifest.v1"
ACCEPT = ", ".join((OCI_INDEX, OCI_MANIFEST, DOCKER_LIST, DOCKER_MANIFEST))

_CONFIGS = (documents.CONFIG, "application/vnd.docker.container.image.v1+json")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_MOST_ENTRIES = 1000


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest or index: its bytes as they came, their digest, and what it says it is."""

    data: bytes
    digest: str
    media_type: str

    @property
    def is_index(self) -> bool:
        """Whether it lists images of several platforms."""
        return self.media_type in (OCI_INDEX, DOCKER_LIST)


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """One image's manifest, checked."""

    config: documents.Descriptor
    layers: tuple[documents.Descriptor, ...]


class _RawDescriptor(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    digest: str
    size: int
    media_type: str = ""
    annotations: dict[str, Any] | None = None
    platform: dict[str, Any] | None = None


class _RawManifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    schema_version: int
    media_type: str = ""
    config: _RawDescriptor | None = None
    layers: tuple[_RawDescriptor, ...] | None = None
    manifests: tuple[_RawDescriptor, ...] | None = None


def digest_of(data: bytes) -> str:
    """The sha256 digest of a document."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def read_document(data: bytes, content_type: str, what: str) -> Document:
    """Find out what a registry sent for `what`. Raises LyingRegistryError, RegistryError for other kinds.

    What the document says of itself counts before the header: registries are wrong about it in the wild.
    """
    raw = _decode(data, what)
    said = raw.media_type or content_type.partition(";")[0].strip()
    if raw.schema_version == 1 or said.startswith(_DOCKER_SCHEMA1):
        raise RegistryError(
            f"{what} is a manifest of Docker's schema 1, which is no longer supported; push the image again"
        )
    if raw.manifests is not None and raw.layers is None:
        media_type = said if said in (OCI_INDEX, DOCKER_LIST) else OCI_INDEX
    elif raw.layers is not None and raw.config is not None and raw.manifests is None:
        media_type = said if said in (OCI_MANIFEST, DOCKER_MANIFEST) else OCI_MANIFEST
    else:
        raise LyingRegistryError(f"{what} is neither an image's manifest nor an index; check the name")
    return Document(data=data, digest=digest_of(data), media_type=media_type)


def read_manifest(document: Document, what: str) -> Manifest:
    """Take one image's manifest apart. Raises LyingRegistryError; RegistryError where it is no image."""
    raw = _decode(document.data, what)
    if raw.config is None or raw.layers is None:
        raise LyingRegistryError(f"{what} is neither an image's manifest nor an index; check the name")
    if raw.config.media_type not in _CONFIGS:
        raise RegistryError(f"{what} is no container image: its config is {raw.config.media_type[:100]!r}")
    if len(raw.layers) > MAX_LAYERS:
        raise LyingRegistryError(
            f"{what} has {len(raw.layers)} layers; overlayfs takes {MAX_LAYERS}, refused"
        )
    return Manifest(
        config=_descriptor(raw.config, what), layers=tuple(_descriptor(layer, what) for layer in raw.layers)
    )


def offers(document: Document, what: str) -> list[tuple[documents.Descriptor, Platform | None]]:
    """What an index lists: a descriptor each, and its platform where one is told."""
    raw = _decode(document.data, what)
    entries = raw.manifests or ()
    if len(entries) > _MOST_ENTRIES:
        raise LyingRegistryError(f"{what} lists {len(entries)} manifests; refused, check the name")
    found = []
    for entry in entries:
        told = from_document(entry.platform) if entry.platform else None
        found.append((_descriptor(entry, what), told))
    return found


def choose(document: Document, wanted: Platform, what: str) -> documents.Descriptor:
    """Find the image of an index that suits a platform best. Raises RegistryNotFoundError."""
    ranked = []
    for number, (descriptor, told) in enumerate(offers(document, what)):
        suits = rank(wanted, told) if told is not None else None
        if suits is not None:
            ranked.append((suits, number, descriptor))
    if not ranked:
        raise RegistryNotFoundError(
            f"no matching manifest for {wanted} in the manifest list entries of {what}; "
            "choose another platform"
        )
    return min(ranked, key=lambda one: one[:2])[2]


def _descriptor(entry: _RawDescriptor, what: str) -> documents.Descriptor:
    if not _DIGEST.fullmatch(entry.digest):
        raise LyingRegistryError(f"{what} names a digest {entry.digest[:100]!r}; only sha256 is supported")
    if not 0 <= entry.size < 1 << 50:
        raise LyingRegistryError(f"{what} names a size of {entry.size} bytes; refused, it cannot be true")
    return documents.Descriptor(media_type=entry.media_type, digest=entry.digest, size=entry.size)


def _decode(data: bytes, what: str) -> _RawManifest:
    try:
        return msgspec.json.decode(data, type=_RawManifest)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise LyingRegistryError(f"{what} is malformed: {error}; refused, push the image again") from error
