"""Named images in an OCI image layout: create, resolve, tag, verify, flatten, remove, list."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import msgspec

from runtime.image.documents import (
    CONFIG,
    MANIFEST,
    Descriptor,
    ImageConfig,
    Manifest,
    RootFs,
    architecture,
    encode,
)
from runtime.image.errors import ImageConflictError, ImageError, errno_advice
from runtime.image.layers import flatten, store_files
from runtime.image.layers.layer_reader import UnpackLimits
from runtime.image.layers.layer_store import Layer, LayerStore
from runtime.image.layers.pack import Compression
from runtime.image.references import named_reference, parse_reference
from runtime.image.store import catalog, listing, removal
from runtime.image.store.catalog import Entries
from runtime.image.store.image import MAX_LAYERS, Image, load_image, read_documents, used_content
from runtime.image.store.index import IndexFile
from runtime.image.store.listing import ImageRow
from runtime.image.store.pins import Holder, Pins
from runtime.image.store.removal import LayerRemoval, Removal, UsedBy

_PATIENCE_S = 2.0


class ImageStore:
    """Images below `root`, which is a valid OCI image layout (skopeo and podman read it).

    A method that fails, even on a full disk, leaves the store usable, and several processes may use one store
    at once. All methods block on the disk, and raise ImageError or a subclass. pins: images that builds need
    now; callers that remove images check them.
    """

    def __init__(self, root: Path, limits: UnpackLimits | None = None) -> None:
        self.root = Path(root)
        self.limits = limits or UnpackLimits()
        self.content = LayerStore(self.root, self.limits)
        self._index = IndexFile(self.content)
        self._lock, self._content_lock = self.root / "lock", self.root / "content.lock"
        self.pins = Pins()
        self._leftovers = True  # a killed process may have added content
        self.sweep()
        layout = self.root / "oci-layout"
        if not layout.exists():
            with store_files.scratch_directory(self.content.tmp) as scratch:
                store_files.write_atomically(layout, b'{"imageLayoutVersion":"1.0.0"}', scratch)

    # ---- adding ----------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def adding(self) -> Iterator[None]:
        """Keep everybody from removing content, since added content has no name yet that protects it.

        A pull is inside from its first check for an existing layer until add_image(). The next removal also
        removes what a failure left.
        """
        with store_files.locked(self._content_lock, shared=True):
            try:
                yield
            except BaseException:
                self._leftovers = True
                raise

    def add_layer(self, source: Path | BinaryIO, compression: Compression = "zstd") -> Layer:
        """Store a layer from a root directory, a tar file, or a tar stream (plain, gzip or zstd)."""
        if not isinstance(source, Path):
            return self.content.add_stream(source)
        if source.is_dir():
            return self.content.add_directory(source, compression)
        try:
            with source.open("rb") as stream:
                return self.content.add_stream(stream)
        except OSError as error:
            raise ImageError(f"read {source}: {errno_advice(error)}") from error

    def create(
        self, reference: str, layers: Sequence[Layer | Path | BinaryIO], config: ImageConfig | None = None
    ) -> Image:
        """Create a named image from `layers` (lowest first; paths and streams are added first).

        config: its rootfs is filled in. reference "": no name. Another image of that name loses it.
        """
        document = config or ImageConfig()
        with self.adding():
            added = tuple(item if isinstance(item, Layer) else self.add_layer(item) for item in layers)
            document = msgspec.structs.replace(
                document,
                architecture=document.architecture or architecture(),
                os=document.os or "linux",
                rootfs=RootFs(diff_ids=tuple(layer.diff_id for layer in added)),
            )
            return self.register((reference,) if reference else (), added, encode(document))

    def register(
        self,
        names: str | Sequence[str],
        layers: Sequence[Layer],
        config: bytes,
        *,
        parent: str = "",
        step: str = "",
        holder: Holder | None = None,
    ) -> Image:
        """Create an image with names from layers in the store and the bytes of its config.

        parent: the id of the image it was built from here; step: a digest of the build step; holder: pins the
        image.
        """
        described = Descriptor(media_type=CONFIG, digest=self.content.put_blob(config), size=len(config))
        if holder is not None:
            holder.hold(described.digest)
        manifest = Manifest(config=described, layers=tuple(layer.descriptor for layer in layers))
        names = (names,) if isinstance(names, str) else names
        return self.add_image(names, encode(manifest), MANIFEST, layers, config, parent=parent, step=step)

    def add_image(
        self,
        names: Sequence[str],
        manifest: bytes,
        media_type: str,
        layers: Sequence[Layer],
        config: bytes,
        *,
        repo_digests: Sequence[str] = (),
        parent: str = "",
        step: str = "",
    ) -> Image:
        """Add an image with its own manifest, byte for byte; its layers are in the store already.

        names: `repository[:tag]`; other images lose these names. repo_digests: `repository@sha256:…`, its
        origin. The digests in the manifest must be those of `config` and `layers`.
        """
        wanted = [named_reference(name) for name in names] + [
            str(parse_reference(name)) for name in repo_digests
        ]
        if len(layers) > MAX_LAYERS:
            raise ImageError(
                f"image has {len(layers)} layers; overlayfs supports {MAX_LAYERS}, build it with fewer"
            )
        with self.adding():
            for layer in layers:
                if not self.content.has_blob(self.content.at_hand(layer).digest):
                    raise ImageError(f"layer {layer.digest} is not in {self.root} any more; add it again")
            image_id = self.content.put_blob(config)
            digest = self.content.put_blob(manifest)
            marks = {catalog.ID: image_id, catalog.PARENT: parent, catalog.STEP: step}
            marks = {key: value for key, value in marks.items() if value}
            entry = Descriptor(media_type=media_type, digest=digest, size=len(manifest), annotations=marks)
            read_documents(self.content, entry)
            return self._named(entry, wanted, again=True)

    # ---- names -----------------------------------------------------------------------------------------

    def tag(self, reference: str, name: str) -> Image:
        """Give an image another name (`repository[:tag]`); another image that has it loses it."""
        wanted = named_reference(name)
        with store_files.locked(self._lock):
            entries = self._index.read()
            entry = catalog.find(entries, reference, self.root)
        return self._named(catalog.bare(entry), [wanted])

    def adopt(self, image_id: str, parent: str, step: str) -> Image:
        """Record the parent and build step of an image from elsewhere; return it."""
        with store_files.locked(self._lock):
            self._index.write(catalog.adopt(self._index.read(), image_id, parent, step))
        return self.resolve(image_id)

    def record_digest(self, reference: str, repository: str) -> Image:
        """Record that a registry has an image, by its manifest's digest there: after a push."""
        with store_files.locked(self._lock):
            entry = catalog.find(self._index.read(), reference, self.root)
        return self._named(catalog.bare(entry), [f"{parse_reference(repository).repository}@{entry.digest}"])

    def _named(self, entry: Descriptor, names: Sequence[str], *, again: bool = False) -> Image:
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        with store_files.locked(self._lock):
            entries = catalog.add(self._index.read(), entry, names, now, again=again)
            self._index.write(entries)
        found = [
            candidate
            for candidate in catalog.of_image(entries, catalog.id_of(entry))
            if candidate.digest == entry.digest
        ]
        chosen = [
            candidate for candidate in found if names and catalog.name_of(candidate) == names[0]
        ] or found
        return load_image(self.content, entries, chosen[0] if chosen else entry)

    # ---- reading ---------------------------------------------------------------------------------------

    def resolve(self, reference: str) -> Image:
        """Find an image by name, `repository@digest`, id, manifest digest, or a prefix of either.

        Raises ImageNotFoundError, ImageConflictError when it is ambiguous.
        """
        entries = self._index.read()
        return load_image(self.content, entries, catalog.find(entries, reference, self.root))

    def find_id(self, reference: str) -> str:
        """Return the id of an image without loading its layers. Raises as resolve()."""
        return catalog.id_of(catalog.find(self._index.read(), reference, self.root))

    def require(self, image_id: str, *, patience_s: float = 60.0) -> None:
        """Return once no removal is under way; ImageNotFoundError if one removed the image.

        For a new user of the image: later removals see that it is used. LockTimeoutError after patience_s.
        """
        with store_files.locked(self._lock, timeout_s=patience_s):
            self.find_id(image_id)

    def is_id(self, text: str) -> bool:
        """Say whether `text` finds an image by id, not by name. ImageConflictError: ambiguous."""
        return catalog.is_id_prefix(self._index.read(), text)

    def made_by(self, parent: str, step: str) -> tuple[str, ...]:
        """Return the ids of the images that a build step made from the image `parent`, newest last."""
        return catalog.made_by(self._index.read(), parent, step)

    def ids_of(self, names: Sequence[str]) -> dict[str, str]:
        """Return name → id of the images that have these names (`repository:tag`) now."""
        entries = self._index.read()
        found = {name: catalog.find_name(entries, name) for name in names}
        return {name: catalog.id_of(entry) for name, entry in found.items() if entry is not None}

    def list(self) -> Sequence[Image]:
        """Return all images sorted by name, once per name; nameless ones come last."""
        entries = self._index.read()
        shown = [
            entry
            for entry in entries
            if not catalog.is_hidden(entry) and not catalog.is_digest_name(catalog.name_of(entry))
        ]
        shown.sort(key=lambda entry: (not catalog.name_of(entry), catalog.name_of(entry)))
        return [load_image(self.content, entries, entry) for entry in shown]

    def summaries(
        self,
        filters: Mapping[str, Sequence[str]] | None = None,
        *,
        intermediate: bool = False,
    ) -> Sequence[ImageRow]:
        """Return one row per image that matches docker's `filters`, newest first.

        filters: reference, dangling, label, label!, before, since, until. intermediate: include unnamed
        images that other images were built from.
        """
        return listing.summaries(self.content, self._index.read(), filters or {}, intermediate=intermediate)

    def usage(self) -> listing.LayerUsage:
        """Return the disk usage of all layers. Damaged images do not count."""
        return listing.usage(self.content, self._index.read())

    def manifest(self, image: Image) -> bytes:
        """Return the bytes of the image's manifest."""
        return self.content.read_blob(image.digest)

    def lease(self, image: Image) -> store_files.Lease:
        """Protect the image's layers from removal until the lease is closed or this process ends."""
        return store_files.Lease(tuple(path.parent for path in image.layer_dirs))

    def verify(self, reference: str) -> Image:
        """Hash every blob and unpacked layer again; ImageError names the first that changed."""
        image = self.resolve(reference)
        for layer in image.layers:
            self.content.verify_layer(layer)
        return image

    def flatten(self, reference: str, target: Path) -> None:
        """Write the image's content as one plain directory, as a container would see it."""
        flatten.flatten(self.resolve(reference).layer_dirs, target)

    # ---- removing --------------------------------------------------------------------------------------

    def remove(
        self, reference: str, *, force: bool = False, prune: bool = True, used_by: UsedBy | None = None
    ) -> tuple[Removal, ...]:
        """Remove a name by docker's rules; with the last one the image and content that no other image uses.

        used_by: the containers of an image; without it, leases show running ones. prune: also remove unnamed
        images that it was built from. Returns the rows of docker's answer. Raises ImageNotFoundError, and
        ImageConflictError while it is needed. A damaged image is removed too; its content, which is unknown
        then, is left to prune().
        """
        with self._alone() as alone, store_files.locked(self._lock):
            entries = self._index.read()
            plan = removal.plan_removal(
                entries, reference, force=force, prune=prune, used_by=used_by or removal.nobody
            )
            if used_by is not None:
                plan = plan.then(removal.drop_unused(plan.entries, used_by))
            return self._carry_out(entries, plan, alone, reference if used_by is None else "")

    def prune_images(
        self, filters: Mapping[str, Sequence[str]] | None = None, used_by: UsedBy = removal.nobody
    ) -> tuple[tuple[Removal, ...], int]:
        """Remove the unused images that match; return docker's answer and the bytes freed.

        filters: dangling (true by default; false takes named ones too), label, label!, until.
        """
        self._leftovers = True  # a prune removes all it can
        with self._alone() as alone, store_files.locked(self._lock):
            entries = self._index.read()
            chosen = listing.prunable(self.content, entries, filters or {})
            before = listing.disk_usage(self.content, entries)
            plan = removal.plan_prune(entries, chosen, used_by)
            plan = plan.then(removal.drop_unused(plan.entries, used_by))
            rows = self._carry_out(entries, plan, alone, "")
            return rows, max(0, before - listing.disk_usage(self.content, plan.entries))

    def _carry_out(
        self, before: Entries, plan: removal.RemovalPlan, alone: bool, leased: str
    ) -> tuple[Removal, ...]:
        """Write the new list, then remove content that only the removed images used.

        leased: the image whose removal a lease forbids; "" leaves leased layers to a later removal.
        """
        left = plan.entries
        gone = [entry for entry in before if catalog.id_of(entry) in plan.gone]
        try:
            layers, blobs = used_content(self.content, gone)
            kept_layers, kept_blobs = used_content(self.content, left)
        except ImageError:
            self._index.write(left)
            self._leftovers = True
            return plan.removals
        loose = {diff_id: self.content.layer_path(diff_id) for diff_id in sorted(layers - kept_layers)}
        held = {diff_id for diff_id, path in loose.items() if path.exists() and store_files.in_use(path)}
        if leased and held:
            raise ImageConflictError(f"remove {leased}: a running container uses it; stop that first")
        self._index.write(left)
        self._leftovers = self._leftovers or bool(held) or not alone
        if not alone:
            return plan.removals
        for diff_id in loose.keys() - held:
            self.content.discard(loose[diff_id])
        for digest in blobs - kept_blobs:
            self.content.drop_blob(self.content.blob_path(digest))
        if self._leftovers and not held:
            self._collect()
        return (*plan.removals, *(LayerRemoval(deleted=diff_id) for diff_id in loose if diff_id not in held))

    def prune(self) -> int:
        """Remove content of no image (left by failed or killed imports); return the number of files."""
        with store_files.locked(self._content_lock), store_files.locked(self._lock):
            return self._collect()

    def tidy(self) -> None:
        """Remove what a failed import left, or leave it to a later removal if the store is busy."""
        self._leftovers = True
        with (
            contextlib.suppress(ImageError),
            self._alone(patience_s=0) as alone,
            store_files.locked(self._lock),
        ):
            if alone:
                self._collect()

    def _collect(self) -> int:
        layers, blobs = used_content(self.content, self._index.read())
        kept = {self.content.layer_path(diff_id) for diff_id in layers}
        loose = [p for p in self.content.layers.iterdir() if p not in kept and not store_files.in_use(p)]
        for path in loose:
            self.content.discard(path)
        kept_files = {self.content.blob_path(digest) for digest in blobs}
        loose_blobs = [path for path in self.content.blobs.iterdir() if path not in kept_files]
        for path in loose_blobs:
            self.content.drop_blob(path)
        self._leftovers = False
        return len(loose) + len(loose_blobs)

    def sweep(self) -> tuple[Path, ...]:
        """Remove the unfinished work of dead processes; return what was removed."""
        self.content.partials.expire()
        return store_files.sweep_scratch(self.content.tmp, self.content.partials.salvage)

    @contextlib.contextmanager
    def _alone(self, patience_s: float = _PATIENCE_S) -> Iterator[bool]:
        """Yield whether nobody is adding content: a removal must not wait for a long pull to end."""
        with contextlib.ExitStack() as held:
            try:
                held.enter_context(store_files.locked(self._content_lock, timeout_s=patience_s))
            except store_files.LockTimeoutError:
                yield False
                return
            yield True
