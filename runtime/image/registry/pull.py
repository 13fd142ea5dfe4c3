"""Pull an image into the store. Only missing layers are downloaded, and all data is checked."""

from __future__ import annotations

import collections
import os
from typing import BinaryIO, NamedTuple, cast

import msgspec

from runtime.image.documents import Descriptor, ImageConfig, decode
from runtime.image.errors import ImageError, LayerError
from runtime.image.layers.layer_store import Layer
from runtime.image.references import Reference
from runtime.image.registry import parallel
from runtime.image.registry.fetch import BlobReader, fetch_document, fetch_manifest
from runtime.image.registry.manifests import ManifestDocument, choose, read_manifest
from runtime.image.registry.parallel import SingleFlight
from runtime.image.registry.platforms import from_document, parse_platform, rank
from runtime.image.registry.progress import BlobProgress, Detail, Message, Progress, short
from runtime.image.registry.registry_errors import (
    RegistryAuthError,
    RegistryDataError,
    RegistryError,
    RegistryNotFoundError,
)
from runtime.image.registry.session import RegistrySession
from runtime.image.registry.transfer import Transfer
from runtime.image.store.image import Image
from runtime.image.store.image_store import ImageStore


class Pulled(NamedTuple):
    """The result of a pull. digest: of what the name refers to, perhaps an index; new: not known before."""

    image: Image
    digest: str
    new: bool
    transfer: Transfer


def pull_denied(name: Reference, error: RegistryAuthError | RegistryNotFoundError) -> RegistryNotFoundError:
    """Report in docker's words that a registry does not have, or does not show, an image."""
    if isinstance(error, RegistryAuthError):
        return RegistryNotFoundError(
            f"pull access denied for {name.repository}, repository does not exist or may require "
            f"'docker login': {error}"
        )
    if str(error).startswith("name unknown"):
        return RegistryNotFoundError(f"repository {name.repository} not found: {error}")
    return RegistryNotFoundError(f"manifest for {name} not found: {error}")


class Pull:
    """The pull of one name, within a session."""

    def __init__(
        self,
        session: RegistrySession,
        store: ImageStore,
        single_flight: SingleFlight,
        progress: Progress,
        platform: str,
    ) -> None:
        self._session, self._store, self._single_flight, self._progress = (
            session,
            store,
            single_flight,
            progress,
        )
        self._asked = platform
        self._wanted = parse_platform(platform)
        self._meter = session.http.meter

    def run(self, name: Reference) -> Pulled:
        """Pull `name`, which has a tag or a digest. Raises RegistryError and its subclasses, ImageError."""
        path = name.path
        top = self._find(name)
        self._progress(Message(status=f"Pulling from {path}", id=name.digest or name.tag))
        before = self._id_of(str(name))
        document = top
        if top.is_index:
            chosen = choose(top, self._wanted, str(name))
            document = fetch_manifest(self._session, path, chosen.digest, chosen.size)
        with self._store.adding():
            image = self._take(name, top, document)
        new = image.id != before
        self._progress(Message(status=f"Digest: {top.digest}"))
        words = "Downloaded newer image for" if new else "Image is up to date for"
        self._progress(Message(status=f"Status: {words} {name}"))
        return Pulled(image, top.digest, new, self._meter.total())

    def _find(self, name: Reference) -> ManifestDocument:
        """Get what the name refers to; errors are in docker's words."""
        try:
            return fetch_manifest(self._session, name.path, name.digest or name.tag)
        except (RegistryAuthError, RegistryNotFoundError) as error:
            raise pull_denied(name, error) from error

    def _id_of(self, reference: str) -> str:
        try:
            return self._store.find_id(reference)
        except ImageError:
            return ""

    def _take(self, name: Reference, top: ManifestDocument, document: ManifestDocument) -> Image:
        manifest = read_manifest(document, str(name))
        config = self._config(name, manifest.config)
        diff_ids = self._diff_ids(name, config, len(manifest.layers))
        wanted = [
            Layer(digest=blob.digest, size=blob.size, media_type=blob.media_type, diff_id=diff_id)
            for blob, diff_id in zip(manifest.layers, diff_ids, strict=True)
        ]
        # Docker reports no layers of an image that it has.
        shown = not self._id_of(manifest.config.digest)
        self._layers(name.path, list(dict.fromkeys(wanted)), shown)
        return self._store.add_image(
            () if name.digest else (str(name),),
            document.data,
            document.media_type,
            wanted,
            config,
            repo_digests=(f"{name.repository}@{top.digest}",),
        )

    # ---- the config ------------------------------------------------------------------------------------

    def _config(self, name: Reference, blob: Descriptor) -> bytes:
        content = self._store.content
        if content.has_blob(blob.digest):
            self._meter.note(blob.digest, "present")
            return content.read_blob(blob.digest)
        data = fetch_document(self._session, name.path, blob)
        self._meter.note(blob.digest, "moved")
        return data

    def _diff_ids(self, name: Reference, data: bytes, layers: int) -> tuple[str, ...]:
        try:
            config = decode(data, ImageConfig)
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            raise RegistryDataError(
                f"config of {name} is malformed: {error}; push the image again"
            ) from error
        if config.os not in ("linux", ""):
            raise RegistryError(f"image operating system {config.os[:40]!r} cannot be used on this platform")
        is_for = from_document(msgspec.to_builtins(config))
        if self._asked and rank(self._wanted, is_for) is None:
            raise RegistryNotFoundError(
                f"image with reference {name} was found but does not provide the specified platform "
                f"({self._wanted}); it is for {is_for}"
            )
        if len(config.rootfs.diff_ids) != layers:
            raise RegistryDataError(
                f"manifest of {name} has {layers} layers, its config {len(config.rootfs.diff_ids)}; refused"
            )
        return config.rootfs.diff_ids

    # ---- layers ----------------------------------------------------------------------------------------

    def _layers(self, path: str, layers: list[Layer], shown: bool) -> None:
        missing = []
        for layer in layers:
            if self._is_here(layer):
                self._meter.note(layer.digest, "present")
                if shown:
                    self._say(layer, "Already exists")
            else:
                missing.append(layer)
                self._say(layer, "Pulling fs layer")
        self._check_room(sum(layer.size for layer in missing))
        options = self._session.http.options
        missing.sort(key=lambda layer: -layer.size)  # so that a long one does not start last
        parallel.work(
            self._session.http.cancel, options.parallel, lambda layer: self._layer(path, layer), missing
        )

    def _layer(self, path: str, layer: Layer) -> None:
        with self._single_flight.alone(layer.digest, self._session.http.cancel):
            if self._is_here(layer) or self._holds(path, layer):
                self._meter.note(layer.digest, "present")
                self._say(layer, "Already exists")
                return
            self._download(path, layer)

    def _download(self, path: str, layer: Layer) -> None:
        start = self._store.content.partials.open(layer.digest)
        if start is None or not self._resumed(path, layer, start):
            self._receive(path, layer, None)

    def _resumed(self, path: str, layer: Layer, start: BinaryIO) -> bool:
        """Resume after the part that a dead process received; False when that part is damaged."""
        with start:
            try:
                self._receive(path, layer, start)
            except RegistryDataError:
                self._store.content.partials.forget(layer.digest)
                return False
        self._store.content.partials.forget(layer.digest)
        return True

    def _receive(self, path: str, layer: Layer, start: BinaryIO | None) -> None:
        gauge = BlobProgress(self._progress, "Downloading", layer.digest, layer.size)
        source = BlobReader(self._session, path, layer.descriptor, gauge, self._check_room, start)
        try:
            self._store.content.add_stream(
                cast("BinaryIO", source),
                digest=layer.digest,
                diff_id=layer.diff_id,
                media_type=layer.media_type,
            )
        except (LayerError, RegistryDataError) as error:
            raise self._failed(path, layer, error) from error
        finally:
            source.close()
        self._meter.note(layer.digest, "moved")
        gauge.say("Download complete")
        gauge.say("Pull complete")

    def _is_here(self, layer: Layer) -> bool:
        """Say whether the layer's content is in the store, from this blob or another.

        If the blob is in the store but not known to have that content, _holds() must check it.
        """
        known = self._store.content.known_layer(layer.diff_id)
        if known is None:
            return False
        return known.digest == layer.digest or not self._store.content.has_blob(layer.digest)

    def _holds(self, path: str, layer: Layer) -> bool:
        """Say whether the blob is in the store. RegistryDataError: it is not what the config says.

        Without this check an image could get a name although its layers cannot be unpacked.
        """
        content = self._store.content
        if not content.has_blob(layer.digest):
            return False
        try:
            if content.layer_path(layer.diff_id).is_dir():
                collections.deque(content.read_tar(layer), maxlen=0)
            content.unpacked(layer)
        except LayerError as error:
            raise self._failed(path, layer, error) from error
        return True

    def _failed(self, path: str, layer: Layer, error: LayerError | RegistryDataError) -> ImageError:
        """Describe a bad layer as docker does; errors of our own disk stay as they are."""
        if isinstance(error.__cause__, OSError):
            return error
        return RegistryDataError(
            f"filesystem layer verification failed for digest {layer.digest} "
            f"of {self._session.host}/{path}: {error}"
        )

    def _say(self, layer: Layer, status: str) -> None:
        self._progress(Message(status=status, id=short(layer.digest), progress_detail=Detail()))

    def _check_room(self, needed: int = 0) -> None:
        """Raise when the store's disk would become full."""
        status = os.statvfs(self._store.root)
        free = status.f_bavail * status.f_frsize
        reserve = self._session.http.options.reserve
        if free < needed + reserve:
            raise RegistryError(
                f"pull: {free} bytes are free below {self._store.root}, {needed} are needed, {reserve} must "
                "stay free; remove images (nn rmi, nn image prune) and try again"
            )
