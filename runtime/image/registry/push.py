"""Push an image to a registry, manifest byte for byte. Only missing blobs are uploaded."""

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
from runtime.image.registry.registry_errors import RegistryDataError, RegistryError
from runtime.image.registry.session import RegistrySession
from runtime.image.registry.transfer import Transfer
from runtime.image.registry.upload import BlobUpload, push_scope
from runtime.image.store.image import Image
from runtime.image.store.image_store import ImageStore


class Pushed(NamedTuple):
    """The result of a push. digest, size: of the manifest in the registry."""

    tag: str
    digest: str
    size: int
    transfer: Transfer


class Push:
    """The push of one name, within a session."""

    def __init__(self, session: RegistrySession, store: ImageStore, path: str, progress: Progress) -> None:
        self._session, self._store, self._path, self._progress = session, store, path, progress
        self._upload = BlobUpload(session, path)
        self._meter = session.http.meter
        self._repositories_by_blob: dict[str, list[str]] | None = None

    def run(self, name: Reference) -> Pushed:
        """Push the image `name` (with a tag). Raises RegistryError, ImageError."""
        image = self._store.resolve(str(name))
        layers = self._layers_of(image)
        for layer in layers:
            self._say(layer, "Preparing")
        lost = [layer for layer in layers if not self._store.content.has_blob(layer.digest)]
        if any(not self._is_there(layer) for layer in lost):
            image = self._with_own_blobs(image, name)
            layers = self._layers_of(image)
        options = self._session.http.options
        parallel.work(self._session.http.cancel, options.parallel, self._layer, layers)
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

    def _with_own_blobs(self, image: Image, name: Reference) -> Image:
        """Give the image a manifest of the blobs in the store; its own were never downloaded.

        A pull skips layers whose content is in the store in another compression.
        """
        known = [self._store.content.known_layer(layer.diff_id) for layer in image.layers]
        layers = [layer for layer in known if layer is not None]
        if len(layers) < len(image.layers):
            raise RegistryError(f"push {name}: a layer is not in the store any more; pull the image again")
        with self._store.adding():
            return self._store.register((str(name),), layers, self._store.content.read_blob(image.id))

    def _is_there(self, layer: Layer) -> bool:
        """Say whether the registry has a blob that we lack, or can mount it from another repository."""
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
        """Return repositories of this registry that probably have a blob, as the store remembers."""
        if self._repositories_by_blob is None:
            found: dict[str, list[str]] = {}
            for row in self._store.summaries(intermediate=True):
                names = [parse_reference(name) for name in row.repo_digests]
                paths = [name.path for name in names if name.host == self._session.host]
                for blob in self._blobs_of(row.id) if paths else ():
                    found.setdefault(blob, []).extend(path for path in paths if path != self._path)
            self._repositories_by_blob = found
        return list(dict.fromkeys(self._repositories_by_blob.get(digest, ())))

    def _blobs_of(self, image_id: str) -> tuple[str, ...]:
        """Return an image's blobs; none of a damaged image, which must not stop the push of another."""
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
            digest = answer.headers.get("Docker-Content-Digest", image.digest)
        if digest != image.digest:
            raise RegistryDataError(
                f"push {name}: the registry stored the manifest {image.digest} as {digest[:100]}; "
                "do not trust its copy"
            )

    def _say(self, layer: Layer, status: str) -> None:
        self._progress(Message(status=status, id=short(layer.digest), progress_detail=Detail()))
