"""The images of a store by name and id: what index.json says. Pure functions on its entries.

An entry is a name of an image: `REF_NAME` holds `repository:tag`, or `repository@sha256:…` where it was
pulled from or pushed to. An image that has no name keeps one entry without it. An image's id is its config's
digest, as in docker; two manifests of one config (compressed in different ways) are one image.
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
"""Annotations of ours: the config's digest; the image it was made from here; when it was last named (RFC
3339); set where an image was removed that a stopped container needs: nobody sees it, its content stays; a
digest of the build step that made it from its parent."""

KEPT = (ID, PARENT, STEP)
"""What all entries of an image carry."""

Entries = tuple[Descriptor, ...]


def name_of(entry: Descriptor) -> str:
    """The entry's name, "" where the image has none."""
    return entry.annotations.get(REF_NAME, "")


def id_of(entry: Descriptor) -> str:
    """The image's id (its config's digest)."""
    return entry.annotations.get(ID, entry.digest)


def is_digest_name(name: str) -> bool:
    """Say whether a name tells where an image came from (`repository@sha256:…`) rather than being a tag."""
    return "@" in name


def is_hidden(entry: Descriptor) -> bool:
    """Say whether the image was removed and only its content is kept."""
    return REMOVED in entry.annotations


def bare(entry: Descriptor) -> Descriptor:
    """The entry without its name."""
    return _annotated(entry, {key: entry.annotations[key] for key in KEPT if key in entry.annotations})


def of_image(entries: Iterable[Descriptor], image_id: str) -> Entries:
    """The entries of one image."""
    return tuple(entry for entry in entries if id_of(entry) == image_id)


def tags(entries: Iterable[Descriptor]) -> tuple[str, ...]:
    """The `repository:tag` names among entries, in docker's order."""
    names = {name_of(entry) for entry in entries}
    return _sorted(name for name in names if name and not is_digest_name(name))


def repo_digests(entries: Iterable[Descriptor]) -> tuple[str, ...]:
    """The `repository@sha256:…` names among entries, in docker's order."""
    return _sorted({name for entry in entries if is_digest_name(name := name_of(entry))})


def _sorted(names: Iterable[str]) -> tuple[str, ...]:
    """By what the short form leaves away, too: `user/app` stands for docker.io/user/app, before library/."""
    return tuple(sorted(names, key=_full))


def _full(name: str) -> str:
    found = parse_reference(name)
    return f"{found.host}/{found.path}{name.removeprefix(found.repository)}"


def children(entries: Iterable[Descriptor], image_id: str) -> tuple[str, ...]:
    """The ids of the images that were made from this one here."""
    made = [entry for entry in entries if entry.annotations.get(PARENT) == image_id]
    found = {id_of(entry) for entry in made if not is_hidden(entry)}
    return tuple(sorted(found - {image_id}))


def parents(entries: Iterable[Descriptor]) -> frozenset[str]:
    """The ids of all images that have children()."""
    made = [entry for entry in entries if not is_hidden(entry)]
    found = {
        parent for entry in made if (parent := entry.annotations.get(PARENT, id_of(entry))) != id_of(entry)
    }
    return frozenset(found)


def parent_of(entries: Iterable[Descriptor], image_id: str) -> str:
    """The id of the image it was made from here, "" where none is known."""
    found = [entry.annotations.get(PARENT, "") for entry in of_image(entries, image_id)]
    return max(found, default="")


def made_by(entries: Iterable[Descriptor], parent: str, step: str) -> tuple[str, ...]:
    """The ids of the images that this build step made from `parent`, the newest entry last."""
    made = [entry for entry in entries if entry.annotations.get(STEP) == step and not is_hidden(entry)]
    return tuple(id_of(entry) for entry in made if entry.annotations.get(PARENT, "") == parent)


# ---- finding --------------------------------------------------------------------------------------------


def find(entries: Entries, text: str, where: object = "this store") -> Descriptor:
    """Find an image by name, id, digest, or the first hex digits of one, in docker's order.

    ImageNotFoundError, ImageConflictError (several fit), ImageReferenceError (no name at all).
    """
    found = find_name(entries, text) or _find_digits(entries, text)
    if found is None:
        raise ImageNotFoundError(
            f"No such image: {_shown(text)}; it is not in {where}: nn images lists what is, nn pull gets one"
        )
    return found


def find_name(entries: Entries, text: str) -> Descriptor | None:
    """Find the entry that has this name (or a repository and a digest that both fit)."""
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
    if name == f"{wanted.repository}@{wanted.digest}":  # an index's, where it was pulled through one
        return True
    if not name or wanted.digest not in (entry.digest, id_of(entry)):
        return False
    return parse_reference(name).repository == wanted.repository


def is_digits(entries: Entries, text: str) -> bool:
    """Say whether `text` finds an image by its digits, not by a name."""
    return find_name(entries, text) is None and _find_digits(entries, text) is not None


def _find_digits(entries: Entries, text: str) -> Descriptor | None:
    value = text.removeprefix("sha256:")
    if not value or value.strip("0123456789abcdef"):
        return None
    whole = len(value) == 64  # containers find by it what was removed under them
    visible = [entry for entry in entries if whole or not is_hidden(entry)]
    found = [one for one in visible if id_of(one).startswith(f"sha256:{value}")] or [
        one for one in visible if one.digest.startswith(f"sha256:{value}")
    ]
    if len({id_of(entry) for entry in found}) > 1:
        raise ImageConflictError(f"image {text} is ambiguous; give more digits")
    return min(found, key=_order, default=None)


def _order(entry: Descriptor) -> tuple[bool, bool, str]:
    """Tags before digests before no name at all."""
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
    """Give an image names; it keeps an entry without any when there are none. Who had a name loses it.

    An image that lost its last name this way stays, without one. again: it comes from outside, perhaps once
    more; a name that it had keeps its time. What it was made from stays known in any case.
    """
    image_id = id_of(new)
    if not new.annotations.keys() & {PARENT, STEP}:
        new = _annotated(new, new.annotations | _origin(entries, image_id))
    for name in names:
        had = [one.annotations.get(TAGGED, "") for one in of_image(entries, image_id) if name_of(one) == name]
        since = had[0] if again and had else tagged
        entries = drop_name(entries, name)
        mark = {REF_NAME: name} | ({TAGGED: since} if since else {})
        entries = (*entries, _annotated(new, new.annotations | mark))
    entries = tuple(one for one in entries if id_of(one) != image_id or not is_hidden(one))  # it is back
    mine = of_image(entries, image_id)
    if not mine:
        return (*entries, _annotated(new, new.annotations))
    named = any(name_of(entry) for entry in mine)
    return tuple(entry for entry in entries if id_of(entry) != image_id or not named or name_of(entry))


def adopt(entries: Entries, image_id: str, parent: str, step: str) -> Entries:
    """Note what an image was made from, and by which step, where nothing is known of it."""
    marks = {key: value for key, value in ((PARENT, parent), (STEP, step)) if value}
    return tuple(
        entry
        if id_of(entry) != image_id or entry.annotations.keys() & {PARENT, STEP}
        else _annotated(entry, entry.annotations | marks)
        for entry in entries
    )


def _origin(entries: Entries, image_id: str) -> dict[str, str]:
    """What an image that is here was made from, and by which step."""
    for entry in of_image(entries, image_id):
        marks = {key: entry.annotations[key] for key in (PARENT, STEP) if key in entry.annotations}
        if marks and not is_hidden(entry):
            return marks
    return {}


def drop_name(entries: Entries, name: str) -> Entries:
    """Take a name away; the image stays."""
    lost = next((entry for entry in entries if name_of(entry) == name), None)
    if lost is None:
        return entries
    left = tuple(entry for entry in entries if entry is not lost)
    if of_image(left, id_of(lost)):
        return left
    bare = {key: value for key, value in lost.annotations.items() if key != REF_NAME}
    return (*left, _annotated(lost, bare))


def drop_image(entries: Entries, image_id: str) -> Entries:
    """Take an image away, with all its names."""
    return tuple(entry for entry in entries if id_of(entry) != image_id)


def hide_image(entries: Entries, image_id: str) -> Entries:
    """Take an image's names away and hide it; its content is kept."""
    mine = of_image(entries, image_id)
    kept = {key: value for key, value in mine[0].annotations.items() if key != REF_NAME}
    return (*drop_image(entries, image_id), _annotated(mine[0], kept | {REMOVED: "1"}))


def _annotated(entry: Descriptor, annotations: dict[str, str]) -> Descriptor:
    return msgspec.structs.replace(entry, annotations=dict(annotations))
