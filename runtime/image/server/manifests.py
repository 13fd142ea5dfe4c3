"""What a pushed manifest is and what it points at. Pure."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from runtime.image.server.faults import FaultError
from runtime.image.server.identifiers import digest

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
IMAGES = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEXES = (OCI_INDEX, DOCKER_LIST)

LONGEST = 8 << 20
"""Bytes of a manifest; distribution-spec asks for at least 4 MiB."""

_ELSEWHERE = "nondistributable", ".foreign."
"""In media types of layers that are fetched from their own urls and never pushed."""


_Size = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class _Descriptor(msgspec.Struct, frozen=True, rename="camel"):
    digest: str
    size: _Size
    media_type: str = ""
    urls: list[str] | None = None


class _RawManifest(msgspec.Struct, frozen=True, rename="camel"):
    schema_version: int
    media_type: str = ""
    artifact_type: str = ""
    config: _Descriptor | None = None
    layers: list[_Descriptor] | None = None
    manifests: list[_Descriptor] | None = None
    subject: _Descriptor | None = None
    annotations: dict[str, str] | None = None


class ParsedManifest(msgspec.Struct, frozen=True, kw_only=True):
    """A manifest: its media type, the digests it needs, and what it says about another one.

    blobs, manifests: must be in the repository already. subject: digest or "". artifact_type as the list of
    referrers tells it: an image's falls back to its config's media type.
    """

    media_type: str
    blobs: tuple[str, ...]
    manifests: tuple[str, ...]
    subject: str
    artifact_type: str
    annotations: dict[str, str]

    def descriptor(self, digest_: str, size: int) -> dict[str, Any]:
        """How the list of its subject's referrers shows it."""
        found: dict[str, Any] = {"mediaType": self.media_type, "size": size, "digest": digest_}
        if self.artifact_type:
            found["artifactType"] = self.artifact_type
        if self.annotations:
            found["annotations"] = self.annotations
        return found


def read_manifest(data: bytes, content_type: str) -> ParsedManifest:
    """Understand a manifest's bytes; MANIFEST_INVALID (UNSUPPORTED for schema 1) when they are none.

    content_type: the request's; parameters are ignored. A `mediaType` inside must say the same.
    """
    declared = content_type.partition(";")[0].strip().lower()
    try:
        document = msgspec.json.decode(data, type=_RawManifest)
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, nested without end
        raise FaultError(400, "MANIFEST_INVALID", f"manifest is not valid: {error}") from error
    if document.schema_version != 2:
        raise FaultError(400, "UNSUPPORTED", "manifest of schema 1; push the image as schema 2 or OCI")
    kind = document.media_type or declared or _guess(document)
    if document.media_type and declared and declared not in (document.media_type, "application/json"):
        raise FaultError(
            400,
            "MANIFEST_INVALID",
            f"manifest says it is {document.media_type[:100]}, its Content-Type {declared[:100]}",
        )
    if kind in IMAGES:
        return _image(document, kind)
    if kind in INDEXES:
        return _index(document, kind)
    raise FaultError(400, "MANIFEST_INVALID", f"media type {kind[:100]!r} is no image manifest or index")


def _guess(document: _RawManifest) -> str:
    """Neither the request nor the document said; by its form, as OCI clients may leave both out."""
    return OCI_INDEX if document.manifests is not None else OCI_MANIFEST


def _image(document: _RawManifest, kind: str) -> ParsedManifest:
    if document.config is None or document.layers is None:
        raise FaultError(400, "MANIFEST_INVALID", "image manifest without config or layers")
    needed = [document.config, *(layer for layer in document.layers if not _is_elsewhere(layer))]
    return ParsedManifest(
        media_type=kind,
        blobs=tuple(dict.fromkeys(digest(one.digest) for one in needed)),
        manifests=(),
        subject=digest(document.subject.digest) if document.subject else "",
        artifact_type=document.artifact_type or document.config.media_type,
        annotations=document.annotations or {},
    )


def _index(document: _RawManifest, kind: str) -> ParsedManifest:
    if document.manifests is None:
        raise FaultError(400, "MANIFEST_INVALID", "index without a list of manifests")
    return ParsedManifest(
        media_type=kind,
        blobs=(),
        manifests=tuple(dict.fromkeys(digest(one.digest) for one in document.manifests)),
        subject=digest(document.subject.digest) if document.subject else "",
        artifact_type=document.artifact_type,
        annotations=document.annotations or {},
    )


def _is_elsewhere(layer: _Descriptor) -> bool:
    return bool(layer.urls) or any(mark in layer.media_type for mark in _ELSEWHERE)
