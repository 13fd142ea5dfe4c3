"""Push: an image of the store into a registry, manifest byte for byte. Only blobs that it lacks travel."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import BinaryIO, NamedTuple

from runtime.image.errors import ImageError
from runtime.image.layers.layer_store import Layer
from runtime.image.references import Reference, parse_reference
from runtime.image.registry import parallel
from runtime.image.registry.http import RequestBody
from runtime.image.registry.progress import BlobProgress, Detail, Message, Progress, quiet, short
from runtime.image.registry.registry_errors import LyingRegistryError, RegistryError
from runtime.image.registry.session import RegistrySession
from runtime.image.registry.transfer import Transfer
from runtime.image.registry.upload import BlobUpload, push_scope
from runtime.image.store.image import Image
from runtime.image.store.image_store import ImageStore


class Pushed(NamedTuple):
    """What a push did. digest, size: of the manifest, as it is in the registry now."""

    tag: str
    digest: str
    size: int
    transfer: Transfer


class Push:
    """One push of one name, within a session."""

    def __init__(self, session: RegistrySession, store: ImageStore, path: str, progress: Progress) -> None:
        self._session, self._store, self._path, self._progress = session, store, path, progress
        self._upload = BlobUpload(session, path)
        self._meter = session.wire.meter
        self._neighbours: dict[str, list[str]] | None = None

    def run(self, name: Reference) -> Pushed:
        """Push what the store has as `name` (with a tag). Raises RegistryError, ImageError."""
        image = self._store.resolve(str(name))
        layers = self._layers_of(image)
        for layer in layers:
            self._say(layer, "Preparing")
        lost = [layer for layer in layers if not self._store.content.has_blob(layer.digest)]
        if any(not self._is_there(layer) for layer in lost):
            image = self._remade(image, name)
            layers = self._layers_of(image)
        options = self._session.wire.options
        parallel.work(self._session.wire.cancel, options.parallel, self._layer, layers)
        config = self._store.content.read_blob(image.id)
        self._blob(image.id, len(config), lambda: io.BytesIO(config), BlobProgress(quiet, "", image.id, 0))
        manifest = self._store.manifest(image)
        self._put_manifest(name, image, manifest)
        self._store.record_digest(str(name), name.repository)
        self._progress(Message(status=f"{name.tag}: digest: {image.digest} size: {len(manifest)}"))
        return Pushed(name.tag, image.digest, len(manifest), self._meter.total())

    # ---- layers ----------------------------------------------------------------------------------------

    def _layers_of(self, image: Image) -> list[Layer]:
        return list({layer.digest: layer for layer in image.layers}.values())

    def _remade(self, image: Image, name: Reference) -> Image:
        """Give the image a manifest of the blobs that are here: its own were never fetched.

        A pull leaves out layers whose content is here in other bytes; the registry would need those bytes.
        """
        known = [self._store.content.known_layer(layer.diff_id) for layer in image.layers]
        layers = [layer for layer in known if layer is not None]
        if len(layers) < len(image.layers):
            raise RegistryError(f"push {name}: a layer is not in the store any more; pull the image again")
        with self._store.adding():
            return self._store.register((str(name),), layers, self._store.content.read_blob(image.id))

    def _is_there(self, layer: Layer) -> bool:
        """Whether the registry has a blob that we have not, or finds it in another of its repositories."""
        if self._upload.has(layer.digest):
            return True
        sources = self._sources(layer.digest)
        return bool(sources) and self._upload.begin(layer.digest, sources)[0] != ""

    def _layer(self, layer: Layer) -> None:
        gauge = BlobProgress(self._progress, "Pushing", layer.digest, layer.size)
        self._blob(layer.digest, layer.size, lambda: self._store.content.open_blob(layer.digest), gauge)

    def _blob(self, digest: str, size: int, opened: Callable[[], BinaryIO], gauge: BlobProgress) -> None:
        if self._upload.has(digest):
            self._meter.note(digest, "present")
            gauge.say("Layer already exists")
            return
        source, location = self._upload.begin(digest, self._sources(digest))
        if source:
            self._meter.note(digest, "mounted")
            gauge.say(f"Mounted from {source}")
            return
        with opened() as blob:
            self._upload.send(digest, blob, size, location, gauge)
        self._meter.note(digest, "moved")
        gauge.say("Pushed")

    def _sources(self, digest: str) -> list[str]:
        """Repositories of this registry that should have a blob, as far as the store remembers."""
        if self._neighbours is None:
            found: dict[str, list[str]] = {}
            for row in self._store.summaries(intermediate=True):
                names = [parse_reference(one) for one in row.repo_digests]
                paths = [one.path for one in names if one.host == self._session.host]
                for blob in self._blobs_of(row.id) if paths else ():
                    found.setdefault(blob, []).extend(path for path in paths if path != self._path)
            self._neighbours = found
        return list(dict.fromkeys(self._neighbours.get(digest, ())))

    def _blobs_of(self, image_id: str) -> tuple[str, ...]:
        """An image's blobs; none of one that is damaged, which is no reason not to push another."""
        try:
            return image_id, *(layer.digest for layer in self._store.resolve(image_id).layers)
        except ImageError:
            return ()

    # ---- the manifest ----------------------------------------------------------------------------------

    def _put_manifest(self, name: Reference, image: Image, manifest: bytes) -> None:
        answer = self._session.ask(
            "PUT",
            f"/v2/{self._path}/manifests/{name.tag}",
            scopes=push_scope(self._path),
            headers={"Content-Type": image.media_type},
            body=RequestBody.of(manifest),
            fine=(200, 201, 202),
        )
        with answer:
            told = answer.headers.get("Docker-Content-Digest", image.digest)
        if told != image.digest:
            raise LyingRegistryError(
                f"push {name}: the registry has made {told[:100]} of the manifest {image.digest}; "
                "its copy cannot be trusted"
            )

    def _say(self, layer: Layer, status: str) -> None:
        self._progress(Message(status=status, id=short(layer.digest), progress_detail=Detail()))
