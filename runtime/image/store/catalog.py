"""A store's images by name and id: pure functions on the entries of index.json.

Each entry is one name of an image: the annotation `REF_NAME` holds `repository:tag`, or `repository@sha256:…`
where the image was pulled from or pushed to. An image without a name has one entry without it. As in docker,
an image's id is its config's digest, so two manifests with one config (compressed differently) are one image.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from runtime.image.documents import REF_NAME, Descriptor
from runtime.image.errors import ImageConflictError, ImageNotFoundError, ImageReferenceError
from runtime.image.references import Reference, parse_reference

ID = "io.ninetynine.image.id"
PARENT = "io.ninetynine.image.parent"
TAGGED = "io.ninetynine.image.tagged"
REMOVED = "io.ninetynine.image.removed"
STEP = "io.ninetynine.image.step"
"""Our annotations: the config's digest; the image that it was built from here; when it was last tagged (RFC
3339); that it was removed but is kept, hidden, for a stopped container; a digest of the build step that made
it from its parent."""

KEPT = (ID, PARENT, STEP)
"""Annotations that all entries of an image carry."""

Entries = tuple[Descriptor, ...]


def name_of(entry: Descriptor) -> str:
    """Return the entry's name, "" if it has none."""
    return entry.annotations.get(REF_NAME, "")


def id_of(entry: Descriptor) -> str:
    """Return the image's id (its config's digest)."""
    return entry.annotations.get(ID, entry.digest)


def is_digest_name(name: str) -> bool:
    """Say whether a name is `repository@sha256:…`, which records an image's origin, and not a tag."""
    return "@" in name


def is_hidden(entry: Descriptor) -> bool:
    """Say whether the image was removed and only its content is kept."""
    return REMOVED in entry.annotations


def bare(entry: Descriptor) -> Descriptor:
    """Return the entry without its name."""
    return _annotated(entry, {key: entry.annotations[key] for key in KEPT if key in entry.annotations})


def of_image(entries: Iterable[Descriptor], image_id: str) -> Entries:
    """Return the entries of one image."""
    return tuple(entry for entry in entries if id_of(entry) == image_id)


def tags(entries: Iterable[Descriptor]) -> tuple[str, ...]:
    """Return the `repository:tag` names of entries, in docker's order."""
    names = {name_of(entry) for entry in entries}
    return _sorted(name for name in names if name and not is_digest_name(name))


def repo_digests(entries: Iterable[Descriptor]) -> tuple[str, ...]:
    """Return the `repository@sha256:…` names of entries, in docker's order."""
    return _sorted({name for entry in entries if is_digest_name(name := name_of(entry))})


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    """Sort by the full names: `user/app` is docker.io/user/app."""
    return tuple(sorted(names, key=_full))


def _full(name: str) -> str:
    found = parse_reference(name)
    return f"{found.host}/{found.path}{name.removeprefix(found.repository)}"


def children(entries: Iterable[Descriptor], image_id: str) -> tuple[str, ...]:
    """Return the ids of the images that were built here from this one."""
    made = [entry for entry in entries if entry.annotations.get(PARENT) == image_id]
    found = {id_of(entry) for entry in made if not is_hidden(entry)}
    return tuple(sorted(found - {image_id}))


def parents(entries: Iterable[Descriptor]) -> frozenset[str]:
    """Return the ids of all images that have children()."""
    made = [entry for entry in entries if not is_hidden(entry)]
    found = {
        parent for entry in made if (parent := entry.annotations.get(PARENT, id_of(entry))) != id_of(entry)
    }
    return frozenset(found)


def parent_of(entries: Iterable[Descriptor], image_id: str) -> str:
    """Return the id of the image that it was built from here, "" if unknown."""
    found = [entry.annotations.get(PARENT, "") for entry in of_image(entries, image_id)]
    return max(found, default="")


def made_by(entries: Iterable[Descriptor], parent: str, step: str) -> tuple[str, ...]:
    """Return the ids of the images that this build step made from `parent`, newest last."""
    made = [entry for entry in entries if entry.annotations.get(STEP) == step and not is_hidden(entry)]
    return tuple(id_of(entry) for entry in made if entry.annotations.get(PARENT, "") == parent)


# ---- finding --------------------------------------------------------------------------------------------


def find(entries: Entries, text: str, where: object = "this store") -> Descriptor:
    """Find an image by name, id, digest, or a prefix of an id or digest, in docker's order.

    Raises ImageNotFoundError, ImageConflictError (ambiguous), ImageReferenceError (not a valid name).
    """
    found = find_name(entries, text) or _find_by_prefix(entries, text)
    if found is None:
        raise ImageNotFoundError(
            f"No such image: {_shown(text)}; it is not in {where}: nn images lists what is, nn pull gets one"
        )
    return found


def find_name(entries: Entries, text: str) -> Descriptor | None:
    """Find the entry with this name (or with this repository and digest)."""
    if text.startswith("sha256:"):
        return None
    try:
        reference = parse_reference(text).tagged()
    except ImageReferenceError:
        if text and not text.strip("0123456789abcdef"):  # 64 digits are an id
            return None
        raise
    visible = [entry for entry in entries if not is_hidden(entry)]
    if not reference.digest:
        name = str(reference)
        return next((entry for entry in visible if name_of(entry) == name), None)
    return next((entry for entry in visible if _fits_digest(entry, reference)), None)


def _fits_digest(entry: Descriptor, wanted: Reference) -> bool:
    name = name_of(entry)
    if name == f"{wanted.repository}@{wanted.digest}":  # the digest of an index, if it was pulled through one
        return True
    if not name or wanted.digest not in (entry.digest, id_of(entry)):
        return False
    return parse_reference(name).repository == wanted.repository


def is_id_prefix(entries: Entries, text: str) -> bool:
    """Say whether `text` finds an image by id or digest, not by name."""
    return find_name(entries, text) is None and _find_by_prefix(entries, text) is not None


def _find_by_prefix(entries: Entries, text: str) -> Descriptor | None:
    value = text.removeprefix("sha256:")
    if not value or value.strip("0123456789abcdef"):
        return None
    whole = len(value) == 64  # containers find hidden images by their full id
    visible = [entry for entry in entries if whole or not is_hidden(entry)]
    found = [entry for entry in visible if id_of(entry).startswith(f"sha256:{value}")] or [
        entry for entry in visible if entry.digest.startswith(f"sha256:{value}")
    ]
    if len({id_of(entry) for entry in found}) > 1:
        raise ImageConflictError(f"image {text} is ambiguous; give more digits")
    return min(found, key=_order, default=None)


def _order(entry: Descriptor) -> tuple[bool, bool, str]:
    """Tags first, then digests, then entries without a name."""
    name = name_of(entry)
    return not name, is_digest_name(name), name


def _shown(text: str) -> str:
    try:
        return str(parse_reference(text).tagged())
    except ImageReferenceError:
        return text


# ---- changing -------------------------------------------------------------------------------------------


def add(
    entries: Entries, new: Descriptor, names: Sequence[str], tagged: str = "", *, again: bool = False
) -> Entries:
    """Add an image with these names, or with one nameless entry. Other images lose these names.

    An image that loses its last name stays, nameless. again: the image was pulled or loaded, perhaps again,
    so names that it had keep their time. Its recorded parent and build step are kept.
    """
    image_id = id_of(new)
    if not new.annotations.keys() & {PARENT, STEP}:
        new = _annotated(new, new.annotations | _origin(entries, image_id))
    for name in names:
        had = [
            entry.annotations.get(TAGGED, "")
            for entry in of_image(entries, image_id)
            if name_of(entry) == name
        ]
        since = had[0] if again and had else tagged
        entries = drop_name(entries, name)
        mark = {REF_NAME: name} | ({TAGGED: since} if since else {})
        entries = (*entries, _annotated(new, new.annotations | mark))
    entries = tuple(
        entry for entry in entries if id_of(entry) != image_id or not is_hidden(entry)
    )  # it is back
    mine = of_image(entries, image_id)
    if not mine:
        return (*entries, _annotated(new, new.annotations))
    named = any(name_of(entry) for entry in mine)
    return tuple(entry for entry in entries if id_of(entry) != image_id or not named or name_of(entry))


def adopt(entries: Entries, image_id: str, parent: str, step: str) -> Entries:
    """Record an image's parent and build step, unless they are recorded already."""
    marks = {key: value for key, value in ((PARENT, parent), (STEP, step)) if value}
    return tuple(
        entry
        if id_of(entry) != image_id or entry.annotations.keys() & {PARENT, STEP}
        else _annotated(entry, entry.annotations | marks)
        for entry in entries
    )


def _origin(entries: Entries, image_id: str) -> dict[str, str]:
    """Return the annotations of a visible image that record its parent and build step."""
    for entry in of_image(entries, image_id):
        marks = {key: entry.annotations[key] for key in (PARENT, STEP) if key in entry.annotations}
        if marks and not is_hidden(entry):
            return marks
    return {}


def drop_name(entries: Entries, name: str) -> Entries:
    """Remove a name; the image stays."""
    lost = next((entry for entry in entries if name_of(entry) == name), None)
    if lost is None:
        return entries
    left = tuple(entry for entry in entries if entry is not lost)
    if of_image(left, id_of(lost)):
        return left
    bare = {key: value for key, value in lost.annotations.items() if key != REF_NAME}
    return (*left, _annotated(lost, bare))


def drop_image(entries: Entries, image_id: str) -> Entries:
    """Remove an image with all its names."""
    return tuple(entry for entry in entries if id_of(entry) != image_id)


def hide_image(entries: Entries, image_id: str) -> Entries:
    """Remove an image's names and hide it; its content is kept."""
    mine = of_image(entries, image_id)
    kept = {key: value for key, value in mine[0].annotations.items() if key != REF_NAME}
    return (*drop_image(entries, image_id), _annotated(mine[0], kept | {REMOVED: "1"}))


def _annotated(entry: Descriptor, annotations: dict[str, str]) -> Descriptor:
    return msgspec.structs.replace(entry, annotations=dict(annotations))
