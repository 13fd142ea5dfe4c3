"""The JSON documents of an OCI image (image-spec 1.1), index, manifest and config, as frozen structs."""

from __future__ import annotations

import hashlib
import platform
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
INDEXES, MANIFESTS = (INDEX, DOCKER_INDEX), (MANIFEST, DOCKER_MANIFEST)
REF_NAME, CONTAINERD_NAME = "org.opencontainers.image.ref.name", "io.containerd.image.name"
"""Annotations that hold an image's name."""

COMPRESSION_OF = {LAYER: "none", LAYER + "+gzip": "gzip", LAYER + "+zstd": "zstd"}
MEDIA_TYPE_OF = {name: media for media, name in COMPRESSION_OF.items()}


class Descriptor(msgspec.Struct, frozen=True, kw_only=True, rename="camel", omit_defaults=True):
    """A reference to a blob: its media type, digest (`sha256:…`) and size in bytes."""

    media_type: str
    digest: str
    size: int
    annotations: dict[str, str] = {}
    platform: dict[str, Any] = {}


class Index(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """index.json: the images of a layout; annotations hold their names."""

    schema_version: int = 2
    media_type: str = INDEX
    manifests: tuple[Descriptor, ...] = ()


class Manifest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One image: its config and its layers, lowest first."""

    config: Descriptor
    layers: tuple[Descriptor, ...] = ()
    schema_version: int = 2
    media_type: str = MANIFEST


class Execution(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The image's settings for running it (the `config` object; docker's capitalised names)."""

    user: str = msgspec.field(default="", name="User")
    env: list[str] | None = msgspec.field(default=None, name="Env")
    entrypoint: list[str] | None = msgspec.field(default=None, name="Entrypoint")
    cmd: list[str] | None = msgspec.field(default=None, name="Cmd")
    working_dir: str = msgspec.field(default="", name="WorkingDir")
    volumes: dict[str, Any] | None = msgspec.field(default=None, name="Volumes")
    exposed_ports: dict[str, Any] | None = msgspec.field(default=None, name="ExposedPorts")
    labels: dict[str, str] | None = msgspec.field(default=None, name="Labels")
    stop_signal: str = msgspec.field(default="", name="StopSignal")
    stop_timeout: int | None = msgspec.field(default=None, name="StopTimeout")
    healthcheck: dict[str, Any] | None = msgspec.field(default=None, name="Healthcheck")
    on_build: list[str] | None = msgspec.field(default=None, name="OnBuild")
    shell: list[str] | None = msgspec.field(default=None, name="Shell")


class RootFs(msgspec.Struct, frozen=True, kw_only=True):
    """Digests of the layers' uncompressed tars, lowest first."""

    diff_ids: tuple[str, ...] = ()
    type: str = "layers"


class HistoryRow(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One step of the image's history. empty_layer: it added no layer."""

    created: str | None = None
    created_by: str | None = None
    author: str | None = None
    comment: str | None = None
    empty_layer: bool | None = None


class ImageConfig(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The image's config. `created` is left out unless given, so that equal content has equal digests."""

    architecture: str = ""
    os: str = ""
    rootfs: RootFs = RootFs(diff_ids=())
    config: Execution | None = None
    created: str | None = None
    author: str | None = None
    variant: str | None = None
    history: tuple[HistoryRow, ...] | None = None


_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "i686": "386"}


def architecture() -> str:
    """Return this machine's architecture by its name in images."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


def decode(data: bytes, kind: type[T]) -> T:
    """Decode a document; null counts as absent, since Go writes it for empty values. Raises MsgspecError."""
    try:
        return msgspec.json.decode(data, type=kind)
    except msgspec.ValidationError:
        return msgspec.convert(_without_nulls(msgspec.json.decode(data)), type=kind)


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def encode(document: msgspec.Struct) -> bytes:
    """Encode a document to the bytes that are hashed: no spaces, fields in order of declaration."""
    return msgspec.json.encode(document, order="deterministic")


def digest_of(data: bytes) -> str:
    """Return the sha256 digest of a document, `sha256:<hex>`."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"
