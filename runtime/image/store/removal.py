"""Plan what docker's `rmi` and `prune` remove. Pure functions.

The rules are docker's: an image stays while it has other names; the last one takes the image with it, and the
unnamed images that it was built from. An image that a container uses stays, unless the container is stopped
and force is given.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec

from runtime.image.errors import ImageConflictError
from runtime.image.references import parse_reference
from runtime.image.store import catalog
from runtime.image.store.catalog import Entries


class Removal(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One row of docker's answer: a removed name, image or layer."""

    untagged: str = msgspec.field(default="", name="Untagged")
    deleted: str = msgspec.field(default="", name="Deleted")


class LayerRemoval(Removal, frozen=True, kw_only=True):
    """The row of a layer, which causes no event."""


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """A container created from an image."""

    container: str
    running: bool


UsedBy = Callable[[str], Sequence[Use]]
"""Returns the containers that were created from an image id."""


class RemovalPlan(msgspec.Struct, frozen=True, kw_only=True):
    """entries: those left; removals: docker's answer; gone: ids of images that have no entry left."""

    entries: Entries
    removals: tuple[Removal, ...] = ()
    gone: tuple[str, ...] = ()

    def then(self, more: RemovalPlan) -> RemovalPlan:
        """Combine with a plan that was made on the entries that this one leaves."""
        return RemovalPlan(
            entries=more.entries, removals=self.removals + more.removals, gone=self.gone + more.gone
        )


def nobody(image_id: str) -> Sequence[Use]:
    """Return no users."""
    return ()


def plan_removal(
    entries: Entries, text: str, *, force: bool = False, prune: bool = True, used_by: UsedBy = nobody
) -> RemovalPlan:
    """Plan `rmi text`. prune: include the unnamed images that it was built from.

    Raises ImageNotFoundError, and ImageConflictError while containers or images need it.
    """
    image_id = catalog.id_of(catalog.find(entries, text))
    refs = catalog.of_image(entries, image_id)
    plan = RemovalPlan(entries=entries)
    if catalog.is_id_prefix(entries, text):
        if _is_single(refs):
            _check(entries, image_id, force=force, named=False, used_by=used_by)
        return _delete(
            plan, image_id, force=force, prune=prune, quiet=False, named=not _is_single(refs), used_by=used_by
        )
    entry = catalog.find_name(entries, text)
    assert entry is not None
    name = catalog.name_of(entry)
    users = used_by(image_id)
    if not force and _is_single(refs) and users:
        raise ImageConflictError(
            f'conflict: unable to remove repository reference "{text}" (must force) - container '
            f"{users[0].container[:12]} is using its referenced image {_short(image_id)}"
        )
    plan = _untag(plan, name)
    plan = _untag_digests(plan, image_id, parse_reference(name).repository)
    if any(catalog.name_of(entry) for entry in catalog.of_image(plan.entries, image_id)):
        return plan
    return _delete(plan, image_id, force=force, prune=prune, quiet=True, named=False, used_by=used_by)


def plan_prune(entries: Entries, image_ids: Sequence[str], used_by: UsedBy) -> RemovalPlan:
    """Plan the removal of those of these images that no container uses; parents only lose their names."""
    plan = RemovalPlan(entries=entries)
    for image_id in image_ids:
        if not catalog.of_image(plan.entries, image_id) or used_by(image_id):
            continue
        if catalog.children(plan.entries, image_id):
            for name in _names(plan.entries, image_id):
                plan = _untag(plan, name)
        else:
            plan = _drop(plan, image_id)
    return plan


def drop_unused(entries: Entries, used_by: UsedBy) -> RemovalPlan:
    """Plan the removal of hidden images whose last container is gone."""
    plan = RemovalPlan(entries=entries)
    for entry in entries:
        image_id = catalog.id_of(entry)
        if catalog.is_hidden(entry) and not used_by(image_id):
            plan = msgspec.structs.replace(
                plan, entries=catalog.drop_image(plan.entries, image_id), gone=(*plan.gone, image_id)
            )
    return plan


# ---- steps ----------------------------------------------------------------------------------------------


def _untag(plan: RemovalPlan, name: str) -> RemovalPlan:
    return msgspec.structs.replace(
        plan,
        entries=catalog.drop_name(plan.entries, name),
        removals=(*plan.removals, Removal(untagged=name)),
    )


def _untag_digests(plan: RemovalPlan, image_id: str, repository: str) -> RemovalPlan:
    """Remove a repository's digests of an image once none of its tags is left."""
    names = [catalog.name_of(entry) for entry in catalog.of_image(plan.entries, image_id)]
    same = [name for name in names if name and parse_reference(name).repository == repository]
    if all(catalog.is_digest_name(name) for name in same):
        for name in same:
            plan = _untag(plan, name)
    return plan


def _delete(
    plan: RemovalPlan, image_id: str, *, force: bool, prune: bool, quiet: bool, named: bool, used_by: UsedBy
) -> RemovalPlan:
    """Delete an image and, with `prune`, its unnamed parents. quiet: no error for an image that must stay."""
    try:
        _check(plan.entries, image_id, force=force, named=named, used_by=used_by)
    except ImageConflictError:
        dangling = not _names(plan.entries, image_id) and not catalog.children(plan.entries, image_id)
        if quiet and (not dangling or used_by(image_id)):
            return plan
        raise
    parent = catalog.parent_of(plan.entries, image_id)
    if used_by(image_id):  # force was given, and its stopped containers must still start
        rows = _rows(plan.entries, image_id)
        plan = msgspec.structs.replace(
            plan, entries=catalog.hide_image(plan.entries, image_id), removals=(*plan.removals, *rows)
        )
    else:
        plan = _drop(plan, image_id)
    if not prune or not parent or not catalog.of_image(plan.entries, parent):
        return plan
    if _names(plan.entries, parent):
        return plan
    return _delete(plan, parent, force=False, prune=True, quiet=True, named=False, used_by=used_by)


def _drop(plan: RemovalPlan, image_id: str) -> RemovalPlan:
    return msgspec.structs.replace(
        plan,
        entries=catalog.drop_image(plan.entries, image_id),
        removals=(*plan.removals, *_rows(plan.entries, image_id)),
        gone=(*plan.gone, image_id),
    )


def _rows(entries: Entries, image_id: str) -> tuple[Removal, ...]:
    return (*(Removal(untagged=name) for name in _names(entries, image_id)), Removal(deleted=image_id))


def _names(entries: Entries, image_id: str) -> tuple[str, ...]:
    mine = catalog.of_image(entries, image_id)
    return (*catalog.tags(mine), *catalog.repo_digests(mine))


def _is_single(refs: Entries) -> bool:
    """Say whether an image has one tag at most, and digests of that repository only."""
    names = [parse_reference(catalog.name_of(entry)) for entry in refs if catalog.name_of(entry)]
    tagged = [name for name in names if not name.digest]
    return len(tagged) <= 1 and len({name.repository for name in names}) <= 1


def _check(entries: Entries, image_id: str, *, force: bool, named: bool, used_by: UsedBy) -> None:
    """Raise when an image must stay. named: it has names in several repositories."""
    users = used_by(image_id)
    running = [user for user in users if user.running]
    if catalog.children(entries, image_id):
        raise _conflict(image_id, "cannot be forced", "image has dependent child images")
    if running:
        why = f"image is being used by running container {running[0].container[:12]}"
        raise _conflict(image_id, "cannot be forced", why)
    if force:
        return
    if named:
        raise _conflict(image_id, "must be forced", "image is referenced in multiple repositories")
    if users:
        why = f"image is being used by stopped container {users[0].container[:12]}"
        raise _conflict(image_id, "must be forced", why)


def _conflict(image_id: str, how: str, why: str) -> ImageConflictError:
    return ImageConflictError(f"conflict: unable to delete {_short(image_id)} ({how}) - {why}")


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:12]
