"""The images to transfer, made of random bytes and pushed by plain HTTP."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import platform
import tarfile
import urllib.request
from random import Random
from typing import Any

import msgspec

from bench.counting_registry.registry import CountingRegistryError

MIB = 1 << 20
LARGE, LAST = 12 * MIB, MIB
"""Bytes of layers A and B each, and of the last layer."""

PROGRAM = "first"
_MACHINES = {"x86_64": "amd64", "aarch64": "arm64"}
_SEED = 20_260
_LAYER = "application/vnd.docker.image.rootfs.diff.tar.gzip"
_CONFIG = "application/vnd.docker.container.image.v1+json"
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """An image in the registry. bytes: of all its blobs; last_layer: of the last one. Both as transferred."""

    reference: str
    bytes: int
    last_layer: int


class Layer(msgspec.Struct, frozen=True, kw_only=True):
    """One layer: its compressed tar archive, and the digest of the uncompressed one."""

    packed: bytes
    diff_id: str


def push_images(port: int, shown_port: int, repository: str, program: bytes) -> tuple[Pushed, Pushed]:
    """Push `base` and `changed`, which differ in their last layer; shown_port goes into their references."""
    random = Random(_SEED)
    large = [
        make_layer(f"data/{name}", random.randbytes(LARGE), program if name == "a" else b"") for name in "ab"
    ]
    found = []
    for tag in ("base", "changed"):
        layers = [*large, make_layer("data/c", random.randbytes(LAST))]
        size = push_image(port, repository, tag, layers)
        reference = f"127.0.0.1:{shown_port}/{repository}:{tag}"
        found.append(Pushed(reference=reference, bytes=size, last_layer=len(layers[-1].packed)))
    return found[0], found[1]


def make_layer(path: str, data: bytes, program: bytes = b"") -> Layer:
    """Make a layer with one file, and the program if given."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, content, mode in ((path, data, 0o644), (PROGRAM, program, 0o755)):
            if content:
                member = tarfile.TarInfo(name)
                member.size, member.mode = len(content), mode
                archive.addfile(member, io.BytesIO(content))
    text = packed.getvalue()
    return Layer(packed=gzip.compress(text, compresslevel=1, mtime=0), diff_id=_digest(text))


def push_image(port: int, repository: str, tag: str, layers: list[Layer]) -> int:
    """Push an image of these layers; return the bytes of its blobs."""
    config = _encoded(
        {
            "architecture": _MACHINES.get(platform.machine(), platform.machine()),
            "os": "linux",
            "config": {"Cmd": [f"/{PROGRAM}"]},
            "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
            "history": [{"created_by": "ninetynine"} for _ in layers],
        }
    )
    for blob in (config, *(layer.packed for layer in layers)):
        _send(
            port,
            "POST",
            f"/v2/{repository}/blobs/uploads/?digest={_digest(blob)}",
            blob,
            "application/octet-stream",
        )
    manifest = _encoded(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _descriptor(_CONFIG, config),
            "layers": [_descriptor(_LAYER, layer.packed) for layer in layers],
        }
    )
    _send(port, "PUT", f"/v2/{repository}/manifests/{tag}", manifest, _MANIFEST)
    return len(config) + sum(len(layer.packed) for layer in layers)


def _descriptor(media_type: str, blob: bytes) -> dict[str, Any]:
    return {"mediaType": media_type, "digest": _digest(blob), "size": len(blob)}


def _encoded(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _send(port: int, method: str, path: str, body: bytes, media_type: str) -> None:
    url = f"http://127.0.0.1:{port}{path}"
    request = urllib.request.Request(url, data=body, method=method, headers={"Content-Type": media_type})
    try:
        urllib.request.urlopen(request, timeout=60).close()
    except OSError as error:
        raise CountingRegistryError(f"{method} {path} to the counting registry: {error}") from error
