"""Parse pushed manifests: their kind, and what they refer to. Pure functions."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from runtime.image.documents import INDEX, INDEXES, MANIFEST, MANIFESTS
from runtime.image.server.faults import FaultError
from runtime.image.server.identifiers import digest

LONGEST = 8 << 20
"""Bytes of a manifest; distribution-spec asks for at least 4 MiB."""

_ELSEWHERE = "nondistributable", ".foreign."
"""Parts of media types of layers that are fetched from their own URLs and never pushed."""


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
    """A manifest: its media type, the digests it refers to, and its subject.

    blobs, manifests: must be in the repository already. subject: digest or "". artifact_type: for an image
    without one, its config's media type.
    """

    media_type: str
    blobs: tuple[str, ...]
    manifests: tuple[str, ...]
    subject: str
    artifact_type: str
    annotations: dict[str, str]

    def descriptor(self, digest_: str, size: int) -> dict[str, Any]:
        """Return the descriptor in its subject's list of referrers."""
        found: dict[str, Any] = {"mediaType": self.media_type, "size": size, "digest": digest_}
        if self.artifact_type:
            found["artifactType"] = self.artifact_type
        if self.annotations:
            found["annotations"] = self.annotations
        return found


def read_manifest(data: bytes, content_type: str) -> ParsedManifest:
    """Parse a manifest. Raises MANIFEST_INVALID, UNSUPPORTED for schema 1.

    content_type: the request's; parameters are ignored. A `mediaType` inside must be the same.
    """
    declared = content_type.partition(";")[0].strip().lower()
    try:
        document = msgspec.json.decode(data, type=_RawManifest)
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, nested too deep
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
    if kind in MANIFESTS:
        return _image(document, kind)
    if kind in INDEXES:
        return _index(document, kind)
    raise FaultError(400, "MANIFEST_INVALID", f"media type {kind[:100]!r} is not an image manifest or index")


def _guess(document: _RawManifest) -> str:
    """Infer the media type from the document's form; OCI clients may leave it out."""
    return INDEX if document.manifests is not None else MANIFEST


def _image(document: _RawManifest, kind: str) -> ParsedManifest:
    if document.config is None or document.layers is None:
        raise FaultError(400, "MANIFEST_INVALID", "image manifest without config or layers")
    needed = [document.config, *(layer for layer in document.layers if not _is_elsewhere(layer))]
    return ParsedManifest(
        media_type=kind,
        blobs=tuple(dict.fromkeys(digest(descriptor.digest) for descriptor in needed)),
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
        manifests=tuple(dict.fromkeys(digest(manifest.digest) for manifest in document.manifests)),
        subject=digest(document.subject.digest) if document.subject else "",
        artifact_type=document.artifact_type,
        annotations=document.annotations or {},
    )


def _is_elsewhere(layer: _Descriptor) -> bool:
    return bool(layer.urls) or any(mark in layer.media_type for mark in _ELSEWHERE)
