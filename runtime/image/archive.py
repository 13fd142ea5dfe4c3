"""Images from archives: what `docker save`, `podman save` and `skopeo copy … oci-archive:` write.

The archive's members are first put, as plain files under numbers of ours, into a scratch directory: nothing
of their names reaches the file system, and the documents inside may point at them in any order.
"""

from __future__ import annotations

import tarfile
from collections.abc import Mapping
from pathlib import Path
from typing import BinaryIO

import msgspec

from runtime.image import files
from runtime.image.documents import MANIFEST, REF_NAME, ImageConfig, Index, Manifest
from runtime.image.errors import ImageError, LayerError, os_cause
from runtime.image.layers import Layer, LayerStore
from runtime.image.names import entry_path
from runtime.image.streams import LayerReader, UnpackLimits

_CHUNK = 1 << 20
_LONGEST_DOCUMENT = 16 << 20


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """An image found in an archive: its layers, now in the store, and its config document's bytes."""

    names: tuple[str, ...]
    layers: tuple[Layer, ...]
    config: bytes


class _DockerImage(msgspec.Struct, frozen=True):
    config: str = msgspec.field(name="Config")
    layers: tuple[str, ...] = msgspec.field(name="Layers")
    tags: tuple[str, ...] | None = msgspec.field(name="RepoTags", default=None)


def is_archive(source: Path) -> bool:
    """Say whether `source` holds whole images (a tar or directory with manifest.json or an OCI layout)."""
    if source.is_dir():
        return (source / "oci-layout").is_file() and (source / "index.json").is_file()
    try:
        with source.open("rb") as stream, _open(stream, UnpackLimits()) as tar:
            for number, member in enumerate(tar):
                if member.name.removeprefix("./") in ("manifest.json", "oci-layout", "index.json"):
                    return True
                # Such archives hold tens of members, all of blobs; a root file system shows itself soon.
                if number > 2000 or not (member.isreg() or member.isdir() or member.issym()):
                    return False
    except (LayerError, tarfile.TarError):
        return False
    except OSError as error:
        raise ImageError(f"read {source}: {os_cause(error)}") from error
    return False


def read_archive(source: Path, store: LayerStore, limits: UnpackLimits) -> list[Found]:
    """Bring all images of an archive or OCI layout directory into `store`; the caller gives them names."""
    with files.scratch_directory(store.tmp) as scratch:
        try:
            members = _directory_members(source) if source.is_dir() else _spread(source, scratch, limits)
            if "manifest.json" in members and "index.json" not in members:
                return _docker(members, store)
            return _oci(members, store)
        except (msgspec.MsgspecError, tarfile.TarError) as error:
            raise ImageError(f"archive {source} is malformed: {error}; save the image again") from error
        except OSError as error:
            raise ImageError(f"read archive {source}: {os_cause(error)}") from error


def _open(stream: BinaryIO, limits: UnpackLimits) -> tarfile.TarFile:
    reader = LayerReader(stream, limits)
    return tarfile.open(fileobj=reader, mode="r:", encoding="utf-8", errors="surrogateescape")  # type: ignore[call-overload, no-any-return]


def _spread(source: Path, scratch: Path, limits: UnpackLimits) -> dict[str, Path]:
    members: dict[str, Path] = {}
    links: list[tuple[str, str]] = []
    with source.open("rb") as stream, _open(stream, limits) as tar:
        for number, member in enumerate(tar):
            name = entry_path(member.name)
            if member.isreg() and (content := tar.extractfile(member)) is not None:
                members[name] = target = scratch / str(number)
                with target.open("xb") as copy:
                    while data := content.read(_CHUNK):
                        copy.write(data)
            elif member.issym() or member.islnk():  # docker links layers that are equal
                parent = name.rpartition("/")[0] if member.issym() else ""
                links.append((name, _joined(parent, member.linkname)))
    for name, target_name in links:
        if target_name in members:
            members[name] = members[target_name]
    return members


def _joined(parent: str, link: str) -> str:
    parts = parent.split("/") if parent else []
    for part in link.split("/"):
        if part == "..":
            parts = parts[:-1]
        elif part not in ("", "."):
            parts.append(part)
    return "/".join(parts)


def _directory_members(source: Path) -> dict[str, Path]:
    blobs = source / "blobs/sha256"
    members = {f"blobs/sha256/{path.name}": path for path in (blobs.iterdir() if blobs.is_dir() else [])}
    return members | {"index.json": source / "index.json"}


def _document(members: Mapping[str, Path], name: str) -> bytes:
    path = members.get(name)
    if path is None:
        raise ImageError(f"archive has no {name}, which its documents point at; save the image again")
    if path.stat().st_size > _LONGEST_DOCUMENT:
        raise ImageError(f"archive's {name} is too long for a document; refused")
    return path.read_bytes()


def _docker(members: Mapping[str, Path], store: LayerStore) -> list[Found]:
    found = []
    for image in msgspec.json.decode(_document(members, "manifest.json"), type=tuple[_DockerImage, ...]):
        config = _document(members, image.config)
        diff_ids = msgspec.json.decode(config, type=ImageConfig).rootfs.diff_ids
        found.append(
            Found(
                names=image.tags or (),
                layers=_layers(members, image.layers, (None,) * len(image.layers), diff_ids, store),
                config=config,
            )
        )
    return found


def _oci(members: Mapping[str, Path], store: LayerStore) -> list[Found]:
    index = msgspec.json.decode(_document(members, "index.json"), type=Index)
    found = []
    for entry in index.manifests:
        if entry.media_type != MANIFEST:
            raise ImageError(f"archive holds a {entry.media_type}; save one platform's image only")
        manifest = msgspec.json.decode(_blob(members, entry.digest, store), type=Manifest)
        config = _blob(members, manifest.config.digest, store)
        diff_ids = msgspec.json.decode(config, type=ImageConfig).rootfs.diff_ids
        digests = tuple(layer.digest for layer in manifest.layers)
        paths = tuple(_blob_name(digest, store) for digest in digests)
        name = entry.annotations.get("io.containerd.image.name") or entry.annotations.get(REF_NAME)
        layers = _layers(members, paths, digests, diff_ids, store)
        found.append(Found(names=(name,) if name else (), layers=layers, config=config))
    return found


def _blob_name(digest: str, store: LayerStore) -> str:
    return f"blobs/sha256/{store.blob_path(digest).name}"


def _blob(members: Mapping[str, Path], digest: str, store: LayerStore) -> bytes:
    data = _document(members, _blob_name(digest, store))
    if store.put_blob(data) != digest:
        raise ImageError(f"archive's blob {digest} does not have that digest; save the image again")
    return data


def _layers(
    members: Mapping[str, Path],
    paths: tuple[str, ...],
    digests: tuple[str | None, ...],
    diff_ids: tuple[str, ...],
    store: LayerStore,
) -> tuple[Layer, ...]:
    if len(paths) != len(diff_ids):
        raise ImageError("archive's config and manifest name unequal numbers of layers; save the image again")
    layers = []
    for path, digest, diff_id in zip(paths, digests, diff_ids, strict=True):
        if path not in members:
            raise ImageError(f"archive has no {path}, which its manifest lists; save the image again")
        with members[path].open("rb") as stream:
            layers.append(store.add_stream(stream, digest=digest, diff_id=diff_id))
    return tuple(layers)
